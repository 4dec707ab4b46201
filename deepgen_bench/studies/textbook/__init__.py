"""Do the statements of the literature on generative models hold in measurements? Claims with their sources."""
