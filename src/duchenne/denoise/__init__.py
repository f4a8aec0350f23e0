"""Which training samples to drop or weigh less, from per-sample losses."""
