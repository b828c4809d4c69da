// Widths of the network that the kernels are compiled for; models/spin/cpu/widths.py hands them to the compiler.
#pragma once

namespace {

constexpr int C = SPIN_CHANNELS;         // channels of a pixel, and of an attention's value
constexpr int D = SPIN_ATTENTION_WIDTH;  // of query and key
constexpr int PROJECTED = D + D + C;
constexpr int HIDDEN = SPIN_HIDDEN;                       // of the FFN
constexpr int GATE = SPIN_GATE;                           // that the FFN's gates are squeezed to
constexpr int FEW = SPIN_OUTPUTS;                         // outputs of the last convolution
constexpr float EPSILON = SPIN_EPSILON;                   // in the denominator of a superpixel's mean
constexpr int LONGEST = 2 * C > HIDDEN ? 2 * C : HIDDEN;  // of the rows that the FFN multiplies

}  // namespace
