"""Local demo app in the browser (`page`)."""
