"""C structures from annotations: the layout is the C compiler's, by way of :mod:`ctypes`.

A structure is declared once, with the header's field names and types::

    @c_struct("vfio_irq_info")
    class IrqInfo(CStruct):
        argsz: U32
        flags: U32

``C_NAME`` keeps the header's name, so that a test can hold size and offsets against a compiler.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    U8: TypeAlias = int
    U16: TypeAlias = int
    U32: TypeAlias = int
    U64: TypeAlias = int
    S32: TypeAlias = int
else:
    U8, U16, U32, U64, S32 = (
        ctypes.c_uint8,
        ctypes.c_uint16,
        ctypes.c_uint32,
        ctypes.c_uint64,
        ctypes.c_int32,
    )

__all__ = ("S32", "U8", "U16", "U32", "U64", "CStruct", "c_int", "c_struct")

_TYPES: dict[str, type[ctypes._SimpleCData[int]]] = {
    "U8": ctypes.c_uint8,
    "U16": ctypes.c_uint16,
    "U32": ctypes.c_uint32,
    "U64": ctypes.c_uint64,
    "S32": ctypes.c_int32,
}


def c_int(value: int) -> int:
    """Return *value* as C's ``int`` has it after a conversion: its low 32 bits, signed."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


class CStruct(ctypes.Structure):
    """A C structure in host byte order with natural alignment."""

    C_NAME: ClassVar[str] = ""

    @classmethod
    def c_size(cls) -> int:
        """Return ``sizeof``, bytes."""
        return ctypes.sizeof(cls)

    @classmethod
    def c_fields(cls) -> tuple[str, ...]:
        """Return the field names in order, nested structures as one."""
        return tuple(field[0] for field in cls._fields_)

    @classmethod
    def c_offset(cls, field: str) -> int:
        """Return ``offsetof(field)``, bytes."""
        return int(getattr(cls, field).offset)

    @classmethod
    def c_width(cls, field: str) -> int:
        """Return the field's size, bytes."""
        return int(getattr(cls, field).size)

    @classmethod
    def read_from(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """Return a copy read at *offset* bytes; ValueError when *data* is too short."""
        return cls.from_buffer_copy(data, offset)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.c_fields())
        return f"<struct {self.C_NAME} {values}>"


_S = TypeVar("_S", bound=CStruct)


def c_struct(c_name: str) -> Callable[[type[_S]], type[_S]]:
    """Lay the annotated fields of a :class:`CStruct` out as ``struct c_name``."""

    def decorate(cls: type[_S]) -> type[_S]:
        fields: list[tuple[str, type]] = []
        for name, annotation in inspect.get_annotations(cls).items():
            if isinstance(annotation, str):
                if annotation.startswith("ClassVar"):
                    continue
                kind = _TYPES.get(annotation) or _NESTED[annotation]
            else:
                kind = annotation
            fields.append((name, kind))
        cls._fields_ = fields
        cls.C_NAME = c_name
        _NESTED[cls.__name__] = cls
        return cls

    return decorate


_NESTED: dict[str, type[CStruct]] = {}
