"""Figure data: small arrays that pictures of trained models are drawn from, later and without torch."""
