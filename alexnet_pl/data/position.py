"""Where in which epoch a loader is. Its order is a function of (seed, epoch), so a resumed run needs only these two."""


class Position:
    """Of a loader that hands out `batches` an epoch, and sets `done` with each."""

    batches: int

    def __init__(self) -> None:
        self.epoch, self.done, self.resumed = 0, 0, False

    def begin(self) -> None:
        """A new epoch, unless the loader goes on in one from which a checkpoint came."""
        if self.done and not self.resumed:
            self.epoch, self.done = self.epoch + 1, 0
        self.resumed = False

    def state_dict(self) -> dict[str, int]:
        """The epoch and how many of its batches were handed out; a finished epoch is the next one's start."""
        if self.done == self.batches:
            return {"epoch": self.epoch + 1, "done": 0}
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.epoch, self.done, self.resumed = state_dict["epoch"], state_dict["done"], True
