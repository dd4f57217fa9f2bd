"""Speed, as ratios against others in the same run. `make bench` prints the tables."""
