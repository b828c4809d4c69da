"""C++ kernels for the operations that take most of SPIN's time on a CPU, compiled at first use and kept.

Why they exist: PyTorch's operators pass whole tensors of 40 channels through memory again and again. The kernels do the
arithmetic tile by tile in the cache, forward and backward, and 3x3 convolutions with fewer products. Compiled PyTorch
does not replace them; the rule was to delete them if it came within 1.3 times their time in the works below.
Medians in turn, of 5 repetitions (640x360: of 2); AMD EPYC with AVX-512, 2 cores, torch 2.13:

    work                              kernels   torch.compile (inductor, one graph)   PyTorch, eager
    LR 320x180, x4, forward           1.13 s    2.19 s (1.94 times)                   2.01 s (1.78 times)
    LR 640x360, x2, forward           6.24 s    12.31 s (1.97 times)                  10.37 s (1.66 times)
    LR 64x64, batch 4, x4, training   0.88 s    1.44 s (1.64 times)                   1.40 s (1.59 times)

They serve float32 tensors on a CPU without autocast, and the widths that `widths.Widths` allows, for which they are
compiled, by the compiler of CXX, by default c++, or else by g++. Elsewhere, without a compiler, and with
SPINBENCH_NATIVE=0 (or off, no, false) the network runs in PyTorch alone; results differ in their last bits.
`models.spin.ops` decides. A library is kept in a private folder of the cache and checked before it is loaded.
"""

from models.spin.cpu.library import compiler, here, kernels, loaded, off, ready, used, watched

__all__ = ["compiler", "here", "kernels", "loaded", "off", "ready", "used", "watched"]
