"""The AlexNet paper (Krizhevsky, Sutskever, Hinton 2012) as a program: each number of it has one command."""

__version__ = "0.1.0"
