// Common to attention and its gradient: rows of matrices, and the weights of some queries and keys.
#pragma once

#include <algorithm>

#include "vectors.h"

namespace {

constexpr int ROWS = 6;  // queries whose 6 x 16 scores stay in registers

// Rows of a matrix in memory, all or those of an index.
struct Rows {
    const float* base;
    int64_t stride;
    const int64_t* index = nullptr;
    const float* operator()(int64_t i) const { return base + (index ? index[i] : i) * stride; }
    Rows from(int64_t first) const {
        return index ? Rows{base, stride, index + first} : Rows{base + first * stride, stride};
    }
    Rows right(int columns) const { return {base + columns, stride, index}; }
};

// `whole` rounded up to equal parts of at most `most`, each a multiple of `of`.
inline int64_t part(int64_t whole, int64_t most, int64_t of) {
    const int64_t parts = (whole + most - 1) / most;
    return ((whole + parts - 1) / parts + of - 1) / of * of;
}

inline void pack_queries(Rows query, int64_t count, float scale, float* to) {
    for (int64_t i = 0; i < count; ++i) {
        const float* row = query(i);
        for (int d = 0; d < D; d += LANES) store(to + i * D + d, load(row + d) * all(scale));
    }
}

template <int DEPTH, int KEYS>
inline void pack_transposed(Rows rows, int count, float* to) {  // (DEPTH, KEYS)
    for (int s = 0; s < count; ++s) {
        const float* row = rows(s);
        for (int d = 0; d < DEPTH; ++d) to[d * KEYS + s] = row[d];
    }
}

template <int WIDTH>
inline void pack(Rows rows, int count, float* to) {
    for (int s = 0; s < count; ++s) std::memcpy(to + s * WIDTH, rows(s), 4 * WIDTH);
}

// 16 columns of a (R, DEPTH) times b (DEPTH, KEYS), plus start[r] in row r, if given.
template <int R, int DEPTH, int KEYS>
inline void scores(const float* a, const float* b, const float* start, Vector (&to)[R][2]) {
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) to[r][0] = to[r][1] = start ? all(start[r]) : Vector{};
#pragma GCC unroll 4
    for (int d = 0; d < DEPTH; ++d) {
        const Vector left = load(b + d * KEYS), right = load(b + d * KEYS + LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
            const Vector each = all(a[r * DEPTH + d]);
            to[r][0] += each * left;
            to[r][1] += each * right;
        }
    }
}

// weights (R, 16) = 2^(queries · keys), 0 from `count` on, if it is less than 16; added to `sums` (R, 8), if given.
template <int R, int KEYS, bool all_columns>
inline void weigh_some(const float* query, const float* keys, int count, float* weights, float* sums) {
    const Integers lane = {0, 1, 2, 3, 4, 5, 6, 7};
    Vector of[R][2];
    scores<R, D, KEYS>(query, keys, nullptr, of);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
        Vector left = exp2(of[r][0]), right = exp2(of[r][1]);
        if (!all_columns) {
            left = (Vector)((Integers)left & (lane < count));
            right = (Vector)((Integers)right & (lane < count - LANES));
        }
        store(weights + r * KEYS, left);
        store(weights + r * KEYS + LANES, right);
        if (sums) store(sums + r * LANES, load(sums + r * LANES) + (left + right));
    }
}

// The same for (R, count), rounded up to a multiple of 16.
template <int R, int KEYS>
inline void weigh(const float* query, const float* keys, int count, float* weights, float* sums) {
    int s = 0;
    for (; s + 2 * LANES <= count; s += 2 * LANES) weigh_some<R, KEYS, true>(query, keys + s, 0, weights + s, sums);
    if (s < count) weigh_some<R, KEYS, false>(query, keys + s, count - s, weights + s, sums);
}

// Add rows (G, n, WIDTH) of groups to those of total that they belong to, by the shares of these if there are any. Runs
// of 64 rows of total are distributed among the threads, and each is added to in the order of the groups for any number
// of threads. Call it within a parallel region.
template <int WIDTH>
inline void scatter(
    const float* rows, const int64_t* index, int64_t count, const float* shares, float* total, int threads) {
#pragma omp for schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread)
        for (int64_t i = 0; i < count; ++i) {
            float* to = total + index[i] * WIDTH;
            const Vector share = all(shares ? shares[index[i]] : 1.f);
            if ((index[i] >> 6) % threads == thread)
                for (int c = 0; c < WIDTH; c += LANES) store(to + c, load(to + c) + share * load(rows + i * WIDTH + c));
        }
}

// The number of groups of n rows that are processed at a time: rows of `width` numbers that fill a megabyte.
inline int64_t groups_together(int64_t groups, int64_t n, int width, int threads) {
    return std::min(groups, std::max<int64_t>(1, (1 << 18) / (n * width) / threads) * threads);
}

}  // namespace
