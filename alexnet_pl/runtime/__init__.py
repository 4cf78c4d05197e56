"""The machine that a process runs on: device, precision, compiler, memory and cores."""
