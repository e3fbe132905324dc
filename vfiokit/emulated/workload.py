"""The device's two workloads: page writes by DMA, and changes of its own memory (docs/device-model.md).

What write number n does depends on n, the seed and the registers alone, never on when it is done. The
workloads catch up with the clock whenever the device is accessed: due are rate x elapsed time, carried
exactly. Many writes at once are done with numpy, few without.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from vfiokit.clock import Clock
from vfiokit.emulated import model
from vfiokit.emulated.dirty_log import DirtyLog
from vfiokit.emulated.memory import DmaSpace
from vfiokit.emulated.registers import RegisterFile
from vfiokit.emulated.state_memory import StateMemory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]

__all__ = ("Workloads", "page_of")

_SECOND = 1_000_000_000
_MANY = 512
_BATCH = 1 << 18
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF
_RING, _RANDOM, _HOT, _STRIDED = (model.PATTERNS[name] for name in ("ring", "random", "hot", "strided"))


def page_of(pattern: int, i: int, r: int, pages: int, param: int) -> int:
    """Return the page of the window, of *pages*, that page write *i* with random number *r* goes to."""
    if pattern == _RING:
        return i % pages
    if pattern == _RANDOM:
        return r % pages
    if pattern == _HOT:
        return (r >> 3) % (min(param or 1, pages) if r & model.HOT_MASK else pages)
    return (i * (param or 1) & _MASK64) % pages


class _Pace:
    """Turns elapsed time into whole writes; what is left of one is carried, in writes x ns."""

    def __init__(self) -> None:
        self._carry = 0

    def due(self, rate: int, elapsed: int) -> int:
        writes, self._carry = divmod(self._carry + rate * elapsed, _SECOND)
        return writes


class Workloads:
    """Both workloads of one device. ``running`` is RUNNING of device_state."""

    def __init__(
        self, registers: RegisterFile, dma: DmaSpace, log: DirtyLog, memory: StateMemory, clock: Clock
    ) -> None:
        self._registers = registers
        self._dma = dma
        self._log = log
        self._memory = memory
        self._clock = clock
        self._last = clock.now()
        self._dma_pace = _Pace()
        self._state_pace = _Pace()
        self.running = True

    def catch_up(self) -> None:
        """Do what has become due since the last call. Nothing is due while stopped or with CONTROL 0."""
        now = self._clock.now()
        elapsed, self._last = now - self._last, now
        registers = self._registers
        if elapsed <= 0 or not self.running or not registers["CONTROL"] & model.CTRL_RUN:
            return
        if registers["WINDOW_PAGES"]:
            self.write_pages(self._dma_pace.due(registers["RATE"], elapsed))
        self.change_blocks(self._state_pace.due(registers["STATE_RATE"], elapsed))

    def restart(self) -> None:
        """Forget the time that passed and fractions of writes: the device was reset."""
        self._last = self._clock.now()
        self._dma_pace = _Pace()
        self._state_pace = _Pace()

    # -- DMA --

    def write_pages(self, count: int) -> None:
        """Make *count* page writes; none without a window.

        The first that is refused ends them, is not counted, and sets DMA_ERROR and STATUS.
        """
        registers = self._registers
        if not registers["WINDOW_PAGES"]:
            return
        while count > 0:
            number = registers["COUNTER"]
            part = count if count < _MANY else min(count, _BATCH, (1 << 64) - number)
            write = self._write_few if part < _MANY else self._write_many
            done = write(number, part)
            registers["COUNTER"] = number + done
            registers["STATUS"] &= ~model.STATUS_DMA_REFUSED
            if done < part:
                registers["DMA_ERROR"] = errno.EFAULT
                registers["STATUS"] |= model.STATUS_DMA_REFUSED
                return
            count -= part

    def _write_few(self, number: int, count: int) -> int:
        """Make page writes from *number* on; return how many were made before one was refused."""
        registers = self._registers
        base, pages = registers["WINDOW_IOVA"], registers["WINDOW_PAGES"]
        pattern, param, seed = registers["PATTERN"], registers["PARAM"], registers["SEED"] << 32
        for i in range(number, number + count):
            i &= _MASK64
            r = model.mix(seed ^ i)
            iova = base + page_of(pattern, i, r, pages, param) * model.PAGE_SIZE & _MASK64
            if self._dma.write(iova, struct.pack("<QQ", i, r)):
                return i - number & _MASK64
            self._log.mark(iova // model.PAGE_SIZE)
        return count

    def _write_many(self, number: int, count: int) -> int:
        import numpy as np

        registers = self._registers
        i = np.arange(count, dtype=np.uint64) + np.uint64(number)
        r = _mix_many(i ^ np.uint64(registers["SEED"] << 32))
        page = _pages_of(registers["PATTERN"], i, r, registers["WINDOW_PAGES"], registers["PARAM"])
        iova = np.uint64(registers["WINDOW_IOVA"]) + page * np.uint64(model.PAGE_SIZE)
        places = []
        reached = np.zeros(count, dtype=np.bool_)
        for mapping in self._dma.mappings:
            inside = (iova >= np.uint64(mapping.iova)) & (iova <= np.uint64(mapping.last))
            if mapping.writable and inside.any():
                places.append((mapping, inside))
                reached |= inside
        done = count if reached.all() else int(reached.argmin())
        for mapping, inside in places:
            inside[done:] = False
            at = (iova[inside] - np.uint64(mapping.iova)) // np.uint64(8)
            _put(mapping.memory, at, i[inside], r[inside])
        self._log.mark_many(iova[:done] // np.uint64(model.PAGE_SIZE))
        return done

    # -- device memory --

    def change_blocks(self, count: int) -> None:
        """Change *count* blocks of device memory."""
        registers = self._registers
        while count > 0:
            number = registers["STATE_COUNTER"]
            if count < _MANY:
                part = count
                self._change_few(number, count)
            else:
                part = min(count, _BATCH, (1 << 64) - number)
                self._change_many(number, part)
            registers["STATE_COUNTER"] = number + part
            count -= part

    def _change_few(self, number: int, count: int) -> None:
        seed = (self._registers["SEED"] ^ model.STATE_SEED_XOR) << 32
        for j in range(number, number + count):
            j &= _MASK64
            s = model.mix(seed ^ j)
            block = s % self._memory.blocks
            struct.pack_into("<QQ", self._memory.view, block * model.PAGE_SIZE, j, s)
            self._memory.mark(block)

    def _change_many(self, number: int, count: int) -> None:
        import numpy as np

        seed = (self._registers["SEED"] ^ model.STATE_SEED_XOR) << 32
        j = np.arange(count, dtype=np.uint64) + np.uint64(number)
        s = _mix_many(j ^ np.uint64(seed))
        block = s % np.uint64(self._memory.blocks)
        _put(self._memory.view, block * np.uint64(model.PAGE_SIZE // 8), j, s)
        self._memory.mark_many(block)


def _mix_many(x: Numbers) -> Numbers:
    """`model.mix` of an array; unsigned arrays wrap silently."""
    import numpy as np

    z = x + np.uint64(model.MIX_ADD)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(model.MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(model.MIX_2)
    result: Numbers = z ^ (z >> np.uint64(31))
    return result


def _pages_of(pattern: int, i: Numbers, r: Numbers, pages: int, param: int) -> Numbers:
    """`page_of` of arrays."""
    import numpy as np

    n = np.uint64(pages)
    if pattern == _RING:
        return i % n
    if pattern == _RANDOM:
        return r % n
    if pattern == _HOT:
        wide = r >> np.uint64(3)
        hot = (r & np.uint64(model.HOT_MASK)) != 0
        return np.where(hot, wide % np.uint64(min(param or 1, pages)), wide % n)
    result: Numbers = (i * np.uint64(param or 1)) % n
    return result


def _put(memory: memoryview, at: Numbers, first: Numbers, second: Numbers) -> None:
    """Put pairs of 64-bit numbers at 8-byte positions; of equal positions the last wins (numpy, indexing)."""
    import numpy as np

    words = np.frombuffer(memory, dtype="<u8")
    words[at] = first
    words[at + np.uint64(1)] = second
