// Eight floats at a time, in the compiler's own vectors: AVX2 where there is one, pairs of four elsewhere.
#pragma once

#include <cstdint>
#include <cstring>

#include "widths.h"

namespace {

constexpr float LOG2_E = 1.44269504f;
constexpr int LANES = 8;
static_assert(
    C % LANES == 0 && D % LANES == 0 && HIDDEN % LANES == 0 && GATE <= LANES, "see models/spin/cpu/widths.py");
const float ZEROS[LONGEST > PROJECTED ? LONGEST : PROJECTED] = {};  // where a product starts from nothing

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

inline Vector load(const float* from) {
    return *reinterpret_cast<const Unaligned*>(from);
}
inline void store(float* to, Vector x) {
    *reinterpret_cast<Unaligned*>(to) = x;
}
inline Vector all(float x) {
    return x - Vector{};
}  // "+" would be an addition: 0 + -0 is 0

inline float sum(Vector x) {
#ifdef __clang__
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
#else
    x += __builtin_shuffle(x, Integers{4, 5, 6, 7, 0, 1, 2, 3});
    x += __builtin_shuffle(x, Integers{2, 3, 0, 1, 6, 7, 4, 5});
#endif
    return x[0] + x[1];
}

// Where its bits are set, a; elsewhere b.
inline Vector choose(Integers where, Vector a, Vector b) {
    return (Vector)(((Integers)a & where) | ((Integers)b & ~where));
}

// In both, the second is given where either is NaN.
inline Vector larger(Vector a, Vector b) {
#ifdef __AVX__
    return __builtin_ia32_maxps256(a, b);
#else
    return a > b ? a : b;
#endif
}
inline Vector smaller(Vector a, Vector b) {
#ifdef __AVX__
    return __builtin_ia32_minps256(a, b);
#else
    return a < b ? a : b;
#endif
}

// 2^x to a relative error of 2e-7, at least 2^-126 and at most 2^126.5; NaN stays NaN, whatever its bits.
inline Vector exp2(Vector x) {
    // 1.5 · 2^23 rounds what is added to it to an integer; 128 more are the exponent's bias and 1, so that its lowest
    // bits, moved to where the exponent lies, are those of 2^(whole + 1). The polynomial gives half of 2^part.
    const Vector rounding = all(12582912.f + 128);
    x = smaller(all(126.5f), larger(all(-126.f), x));
    const Vector whole = x + rounding;
    const Vector part = x - (whole - rounding);  // within [-1/2, 1/2], where the polynomial is minimax
    Vector power = all(0.5f * 1.3264727e-3f);
    power = power * part + all(0.5f * 9.6715130e-3f);
    power = power * part + all(0.5f * 5.5507336e-2f);
    power = power * part + all(0.5f * 2.4022242e-1f);
    power = power * part + all(0.5f * 6.9314700e-1f);
    power = power * part + all(0.5f);
    return power * (Vector)((Integers)whole << 23);  // a product, as an integer sum would make numbers of some NaN
}

// to (R, COLUMNS) = start + a b: a (R, depth) with entry (r, i) at a[r · of_row + i · of_depth], b (depth, COLUMNS),
// rows `*_stride` apart. R · COLUMNS / 8 sums stay in registers: at most 12 of 16.
template <int R, int COLUMNS>
inline void product(
    const float* a, int of_row, int of_depth, const float* b, int b_stride, int depth, const float* start,
    int start_stride, float* to, int to_stride) {
    constexpr int VECTORS = COLUMNS / LANES;
    Vector sums[R][VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < VECTORS; ++c) sums[r][c] = load(start + r * start_stride + c * LANES);
#pragma GCC unroll 4
    for (int i = 0; i < depth; ++i) {
        const float* row = b + i * b_stride;
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const Vector each = all(a[r * of_row + i * of_depth]);
#pragma GCC unroll 8
            for (int c = 0; c < VECTORS; ++c) sums[r][c] += each * load(row + c * LANES);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < VECTORS; ++c) store(to + r * to_stride + c * LANES, sums[r][c]);
}

// Calls work(first, size<R>) for runs of ROWS rows, and of 4, 2 and 1 for what is left.
template <int N>
struct size {
    static constexpr int value = N;
};
template <int ROWS, typename Work>
inline void in_runs(int64_t rows, Work work) {
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS) work(i, size<ROWS>{});
    if constexpr (ROWS > 4)
        for (; i + 4 <= rows; i += 4) work(i, size<4>{});
    if constexpr (ROWS > 2)
        for (; i + 2 <= rows; i += 2) work(i, size<2>{});
    for (; i < rows; ++i) work(i, size<1>{});
}

}  // namespace
