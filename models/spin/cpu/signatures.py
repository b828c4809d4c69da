"""The parameters of every exported C++ function, declared so that ctypes converts or refuses what it is given.

Undeclared, a Python integer that is passed for a float would be read as other bits.
"""

from __future__ import annotations

import ctypes

Address, Count, Number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
Threads = ctypes.c_int

_MATRICES = (Address, Count, Count)  # one per image: strides of the images and of the rows, which are contiguous
_QUERY_KEY_VALUE = (*_MATRICES, *_MATRICES, *_MATRICES, Count, Count, Count, Number)  # B, L, S, scale
_CELLS = (Address, Address, Address, Address, Count, Count)  # pixels, inside, neighbours, exists, M, P
_NORM = (Address, Address, Number)  # weight, bias, epsilon
_IMAGES = (Count, Count, Count)  # B, H, W

# By name, without the number of threads, which all take last; none returns anything.
PARAMETERS: dict[str, tuple[type, ...]] = {
    "attend": (*_QUERY_KEY_VALUE, Address, Address),
    "attend_gradient": (*_QUERY_KEY_VALUE, *[Address] * 6),
    "attend_groups": (
        Address, Address, Address, Count, Address, Count, Count, Number, Count, Address, Address, Address,
    ),
    "attend_groups_gradient": (
        Address, Address, Count, Address, Count, Count, Number, Count, Address, Address, Address, Address,
    ),
    "normalise_and_project": (Address, Count, *_NORM, Address, Address, Address),
    "normalise_and_project_gradient": (Address, Count, *_NORM, *[Address] * 7),
    "feed_forward": (Address, Count, Count, Address, Number, Address, Address),
    "feed_forward_gradient": (Address, Count, Count, Address, Number, Address, Address, Address, Address),
    "associate": (Address, Count, Count, Address, *_CELLS, Count, Address, Address),
    "superpixel_mean": (Address, Count, Count, Address, *_CELLS, Address, Address),
    "superpixel_mean_gradient": (Address, Count, Count, *[Address] * 4, Count, Count, Address),
    "top_pixels": (Address, Count, *_CELLS, Count, Address),
    "convolve": (Address, *_IMAGES, Address, Address, Count, Count, Number, Address),
    "convolve_to_few": (Address, *_IMAGES, Address, Address, Count, Address),
    "enlarge_gradient": (Address, Address, *_IMAGES, Count, Number, Address),
    "convolution_gradient": (Address, Address, *_IMAGES, Count, Address, Address),
}  # fmt: skip


def declare(library: ctypes.CDLL) -> None:
    """Declare the functions of a library. Raises AttributeError for one that it lacks."""
    for name, parameters in PARAMETERS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = [*parameters, Threads], None
