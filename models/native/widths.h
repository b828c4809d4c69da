// Widths of the published SPIN, as models/native/kernels.py knows them too.
#pragma once

namespace {

constexpr int C = 40;  // channels of a pixel, and of an attention's value
constexpr int D = 24;  // of query and key
constexpr int PROJECTED = D + D + C;
constexpr int HIDDEN = 72;  // of the FFN
constexpr int GATE = 5;     // that the FFN's gates are squeezed to

}  // namespace
