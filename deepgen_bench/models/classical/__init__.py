"""Classical density estimators, fitted without gradients: Gaussian, Gaussian mixture, kernel density."""
