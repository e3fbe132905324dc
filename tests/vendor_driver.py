"""A whole solution of the course's chapter 8, and what people write instead; for tests."""

from vfiokit.emulated.driver import VendorDriver

RUNNING, SAVING, RESUMING = 1, 2, 4
HEAD = 8


class Solution(VendorDriver):
    staged = 0

    def set_state(self, new):
        if new & RESUMING and new != RESUMING:
            raise self.refuse("RESUMING goes alone")
        if new & SAVING and not self.state & SAVING:
            self.device.all_changed()
        if new & RUNNING:
            self.device.run()
        else:
            self.device.stop()

    def pending_bytes(self):
        return self.device.changed() * (HEAD + self.device.BLOCK)

    def data_offset(self):
        if self.state == RESUMING:
            return self.place
        block = self.device.take_changed()
        if block is None:
            self.staged = 0
        else:
            chunk = block.to_bytes(HEAD, "little") + self.device.read(block)
            self.window[: len(chunk)] = chunk
            self.staged = len(chunk)
        return self.place

    def data_size(self):
        return self.staged

    def load(self, chunk):
        block = int.from_bytes(chunk[:HEAD], "little")
        if len(chunk) != HEAD + self.device.BLOCK or block >= self.device.blocks:
            raise self.refuse("no chunk of mine")
        self.device.write(block, chunk[HEAD:])
