// Common to the layers of single pixels: LayerNorm, GELU and sigmoid.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace {

constexpr int TOKENS = 48;      // of a tile
constexpr int64_t PART = 1024;  // pixels whose sums are added up by one thread

struct Norm {
    const float *weight, *bias;
    float epsilon;

    // (x - mean) / deviation of one pixel (C), and 1 / deviation.
    float standard(const float* x, float* to) const {
        Vector part[C / LANES], total{}, square{};
        for (int c = 0; c < C / LANES; ++c) total += part[c] = load(x + c * LANES);
        const Vector mean = all(sum(total) / C);
        for (int c = 0; c < C / LANES; ++c) part[c] -= mean, square += part[c] * part[c];
        const float share = 1 / std::sqrt(sum(square) / C + epsilon);
        for (int c = 0; c < C / LANES; ++c) store(to + c * LANES, part[c] * all(share));
        return share;
    }

    // LayerNorm, given that.
    void scale(const float* standard, float* to) const {
        for (int c = 0; c < C; c += LANES) store(to + c, load(standard + c) * load(weight + c) + load(bias + c));
    }

    // LayerNorm of one pixel.
    void operator()(const float* x, float* to) const {
        standard(x, to);
        scale(to, to);
    }

    // d_x (C) of d_y, given what `standard` gave; adds to those of weight and bias.
    void gradient(
        const float* standard, float share, const float* d_y, float* d_x, float* d_weight, float* d_bias) const {
        Vector part[C / LANES], total{}, along{};
        for (int c = 0; c < C / LANES; ++c) {
            const Vector dy = load(d_y + c * LANES), each = load(standard + c * LANES);
            store(d_weight + c * LANES, load(d_weight + c * LANES) + dy * each);
            store(d_bias + c * LANES, load(d_bias + c * LANES) + dy);
            part[c] = dy * load(weight + c * LANES);
            total += part[c], along += part[c] * each;
        }
        const Vector mean = all(sum(total) / C), slope = all(sum(along) / C);
        for (int c = 0; c < C / LANES; ++c)
            store(d_x + c * LANES, all(share) * (part[c] - mean - load(standard + c * LANES) * slope));
    }
};

// Φ(x), the normal distribution, and φ(x), its density; erf by Abramowitz and Stegun 7.1.26: within 1e-7.
inline Vector normal_distribution(Vector x, Vector* density = nullptr) {
    const Vector size = larger(x, -x);
    const Vector t = all(1.f) / (all(1.f) + all(0.3275911f * 0.70710678f) * size);
    const Vector bell = exp2(size * size * all(-0.5f * LOG2_E));
    if (density) *density = bell * all(0.39894228f);
    Vector tail = all(0.5f * 1.061405429f);
    tail = tail * t + all(0.5f * -1.453152027f);
    tail = tail * t + all(0.5f * 1.421413741f);
    tail = tail * t + all(0.5f * -0.284496736f);
    tail = tail * t + all(0.5f * 0.254829592f);
    tail = tail * t * bell;  // Φ(-|x|)
    const Integers negative = x < Vector{};
    return choose(negative, tail, all(1.f) - tail);
}

inline Vector gelu(Vector x) {
    return x * normal_distribution(x);
}

inline Vector gelu_slope(Vector x) {
    Vector density;
    const Vector distribution = normal_distribution(x, &density);
    return distribution + x * density;
}

inline Vector sigmoid(Vector x) {
    return all(1.f) / (all(1.f) + exp2(x * all(-LOG2_E)));
}

// to (rows, COLUMNS) = start + a b, as in `product`, in blocks of columns that registers take; COLUMNS a multiple of 8.
template <int COLUMNS>
inline void layer(
    const float* a, int of_row, int of_depth, const float* b, int b_stride, int depth, const float* start,
    int start_stride, float* to, int to_stride, int64_t rows) {
    const auto block = [&](int c, auto width, auto at_once) {
        in_runs<decltype(at_once)::value>(rows, [&](int64_t r, auto run) {
            product<decltype(run)::value, decltype(width)::value>(
                a + r * of_row, of_row, of_depth, b + c, b_stride, depth, start + r * start_stride + c, start_stride,
                to + r * to_stride + c, to_stride);
        });
    };
    constexpr int REST = COLUMNS % 24;
    for (int c = 0; c + 24 <= COLUMNS; c += 24) block(c, size<24>{}, size<4>{});
    if constexpr (REST) block(COLUMNS - REST, size<REST>{}, size<6>{});
}

// Runs work(b, first pixel, pixels, sums) for the parts of B images of N pixels -> the `count` sums that each has.
// Parts are not divided among threads, so their sums are the same however many threads there are.
template <typename Work>
std::vector<float> by_parts(int64_t B, int64_t N, int64_t count, int threads, Work work) {
    const int64_t parts = (N + PART - 1) / PART;
    std::vector<float> sums(B * parts * count);
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < B * parts; ++task) {
        const int64_t from = task % parts * PART;
        work(task / parts, from, std::min(PART, N - from), &sums[task * count]);
    }
    return sums;
}

// Adds `count` of the sums of every part, from `first` on, to `to`.
inline void collect(const float* sums, int64_t parts, int64_t stride, int64_t first, int64_t count, float* to) {
    for (int64_t part = 0; part < parts; ++part)
        for (int64_t i = 0; i < count; ++i) to[i] += sums[part * stride + first + i];
}

}  // namespace
