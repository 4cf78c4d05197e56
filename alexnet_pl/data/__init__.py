"""From whatever copy of the images a person owns to a batch on the device (§2, §5.1)."""
