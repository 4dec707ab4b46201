"""Do measurements agree with predictions? Checks of estimators and textbook claims; imports `metrics` and below."""
