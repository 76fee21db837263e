"""Fine-tuning by torch: towards whom, how long, by which processes. With execute/, the only rooms that know torch."""
