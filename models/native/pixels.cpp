// The layers of a SPIN block that see one pixel at a time, each in one pass: what lies between stays in the cache.

#include <vector>

#include "pixels.h"

extern "C" {

// LayerNorm of x (N, C), and its product with weight (C, PROJECTED) -> (N, PROJECTED); the LayerNorm itself too, where
// `normal` (N, C) is given.
void normalise_and_project(
    const float* x, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon, const float* weight,
    float* projected, float* normal, int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
#pragma omp parallel for num_threads(threads)
    for (int64_t from = 0; from < N; from += TOKENS) {
        const int64_t count = std::min<int64_t>(TOKENS, N - from);
        alignas(64) float tile[TOKENS * C];
        float* rows = normal ? normal + from * C : tile;
        for (int64_t i = 0; i < count; ++i) norm(x + (from + i) * C, rows + i * C);
        layer<PROJECTED>(
            rows, C, 1, weight, PROJECTED, C, ZEROS, 0, projected + from * PROJECTED, PROJECTED, count);
    }
}

// Mean over the pixels of the LayerNorm of x (B, N, C) -> (B, C), added up in an order that no thread changes.
void mean_normal(
    const float* x, int64_t B, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon, float* mean,
    int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
    const int64_t parts = (N + PART - 1) / PART;
    std::vector<float> sums(B * parts * C);
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < B * parts; ++task) {
        const int64_t b = task / parts, from = task % parts * PART, to = std::min(N, from + PART);
        Vector total[C / LANES] = {};
        alignas(64) float row[C];
        for (int64_t i = from; i < to; ++i) {
            norm(x + (b * N + i) * C, row);
            for (int c = 0; c < C / LANES; ++c) total[c] += load(row + c * LANES);
        }
        for (int c = 0; c < C / LANES; ++c) store(&sums[task * C + c * LANES], total[c]);
    }
    for (int64_t b = 0; b < B; ++b)
        for (int c = 0; c < C; ++c) {
            double total = 0;
            for (int64_t part = 0; part < parts; ++part) total += sums[(b * parts + part) * C + c];
            mean[b * C + c] = float(total / N);
        }
}

// x + reduce(gelu(expand)) of x (B, N, C), where expand = bias + [n, p n] weights with n the LayerNorm of x and p the
// pixel gate. expand (B, 2C, HIDDEN): its first C rows hold the channel gate.
void feed_forward(
    const float* x, int64_t B, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon,
    const float* squeeze, const float* squeeze_bias, const float* excite, float excite_bias, const float* expand,
    const float* expand_bias, const float* reduce, const float* reduce_bias, float* output, int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
    const int64_t parts = (N + TOKENS - 1) / TOKENS;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < B * parts; ++task) {
        const int64_t b = task / parts, from = task % parts * TOKENS, count = std::min<int64_t>(TOKENS, N - from);
        const float* rows = x + (b * N + from) * C;
        alignas(64) float both[TOKENS * 2 * C], squeezed[TOKENS * SQUEEZED], gates[TOKENS] = {}, wide[TOKENS * HIDDEN];
        for (int64_t i = 0; i < count; ++i) norm(rows + i * C, both + i * 2 * C);
        layer<SQUEEZED>(both, 2 * C, 1, squeeze, SQUEEZED, C, squeeze_bias, 0, squeezed, SQUEEZED, count);
        for (int64_t i = 0; i < count; ++i)
            gates[i] = excite_bias + sum(gelu(load(squeezed + i * SQUEEZED)) * load(excite));
        for (int i = 0; i < TOKENS; i += LANES) store(gates + i, sigmoid(load(gates + i)));
        for (int64_t i = 0; i < count; ++i)
            for (int c = 0; c < C; c += LANES)
                store(both + (2 * i + 1) * C + c, load(both + 2 * i * C + c) * all(gates[i]));
        layer<HIDDEN>(
            both, 2 * C, 1, expand + b * 2 * C * HIDDEN, HIDDEN, 2 * C, expand_bias, 0, wide, HIDDEN, count);
        for (int64_t i = 0; i < count * HIDDEN; i += LANES) store(wide + i, gelu(load(wide + i)));
        for (int64_t i = 0; i < count; ++i)
            for (int c = 0; c < C; c += LANES) store(both + i * C + c, load(rows + i * C + c) + load(reduce_bias + c));
        in_runs<2>(count, [&](int64_t i, auto run) {
            product<decltype(run)::value, C>(
                wide + i * HIDDEN, HIDDEN, 1, reduce, C, HIDDEN, both + i * C, C,
                output + (b * N + from + i) * C, C);
        });
    }
}
}
