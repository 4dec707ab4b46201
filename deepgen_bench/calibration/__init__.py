"""Estimators held against known truths: checks that an experiment file names, with tolerances stated before the run."""

from deepgen_bench.registry import Registry

CHECKS = Registry(
    "check",
    {
        "linear_gaussian_vae": "deepgen_bench.calibration.likelihood:LinearGaussianVAE",
        "linear_gaussian_decoder": "deepgen_bench.calibration.decoder:LinearGaussianDecoder",
        "trained_decoder": "deepgen_bench.calibration.decoder:TrainedDecoder",
        "parzen_gaussian": "deepgen_bench.calibration.parzen:ParzenGaussian",
        "trained_vae": "deepgen_bench.calibration.trained:TrainedVAE",
        "density_integral": "deepgen_bench.calibration.normalisation:DensityIntegral",
        "true_density": "deepgen_bench.calibration.trained:TrueDensity",
        "wasserstein_1d": "deepgen_bench.calibration.transport:OneDimension",
        "translation": "deepgen_bench.calibration.transport:Translation",
        "transport_solver": "deepgen_bench.calibration.transport:Solver",
        "gaussian_transport": "deepgen_bench.calibration.transport:GaussianTransport",
        "frechet_gaussian": "deepgen_bench.calibration.fidelity:FrechetGaussian",
        "kernel_null": "deepgen_bench.calibration.fidelity:KernelNull",
        "inception_one_hot": "deepgen_bench.calibration.fidelity:InceptionOneHot",
        "precision_recall": "deepgen_bench.calibration.fidelity:PrecisionRecall",
    },
)
