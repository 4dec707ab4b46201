"""A disk that fills up: one clear line, nothing half-written, and the same command goes on once there is room."""

import subprocess
import sys

import pytest
from killing import digests, experiment, leftovers

from deepgen_bench.experiment.store import Store
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.train import train_block
from deepgen_bench.storage.files import sha256_of

# a file system of its own that holds so much, seen by these commands alone, and room for all of it in the end
SCRIPT = """
mount -t tmpfs -o size=$1k tmpfs "$2" || exit 77
for room in $1 10000; do
    mount -o remount,size=${room}k "$2"
    for stage in prepare "train --model vae --block 0" "measure --model vae --block 0"; do
        "$3" -m deepgen_bench $stage "$4" --dataset gaussian_ring --results "$2" >&2
        echo $room ${stage%% *} $?
    done
    find "$2" -name '*.part'
done
cp -r "$2" "$5"
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    ring = {"gaussian_ring": {"budget": 160, "settings": {"n_train": 5000, "n_validation": 500, "n_test": 500}}}
    made = experiment("gaussian_ring", "vae", {}, 10, datasets=ring, samples=2000)
    (folder / "small.json").write_text(made.file.model_dump_json())
    store = Store(made, folder / "results")
    prepare_dataset(store, "gaussian_ring")
    train_block(store, "gaussian_ring", "vae", 0)
    return folder / "small.json", store


# of 100 kB of data, 10 kB of states and 260 kB of samples
@pytest.mark.parametrize("kilobytes", [40, 152, 250])
def test_a_full_disk(whole, tmp_path, kilobytes):
    file, store = whole
    place = tmp_path / "disk"
    place.mkdir()
    arguments = [str(kilobytes), place, sys.executable, file, tmp_path / "copy"]
    done = subprocess.run(["unshare", "-rm", "bash", "-c", SCRIPT, "bash", *arguments], capture_output=True, text=True)
    if done.returncode == 77 or "unshare: " in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of their own")
    first, then = (done.stdout.splitlines()[i : i + 3] for i in (0, 3))
    assert then == [f"10000 {stage} 0" for stage in ("prepare", "train", "measure")], done.stderr
    assert [line.split()[2] for line in first if not line.endswith(" 0")] == ["2"] * sum(" 2" in line for line in first)
    assert first[-1].endswith(" 2")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == sum(line.endswith(" 2") for line in first)
    # after a job that found no space, the others lack its files
    assert "No space left on device" in errors[0] and "Traceback" not in done.stderr
    assert all("No space left on device" in line or ": no such file; run snakemake again" in line for line in errors)
    copy = Store(store.experiment, tmp_path / "copy")
    assert digests(copy, "gaussian_ring", "vae") == digests(store, "gaussian_ring", "vae")
    data = [sha256_of(made.data_dir("gaussian_ring") / "train.npy") for made in (copy, store)]
    assert data[0] == data[1] and not leftovers(tmp_path / "copy")
