"""Does a measurement agree with what theory predicts? A claim, a prediction, a measurement, a verdict; imports
`metrics` and below."""
