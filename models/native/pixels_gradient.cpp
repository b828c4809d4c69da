// Gradients of the layers that see one pixel at a time. What was between is computed again, a tile at a time.
//
// Sums over pixels are taken by parts of the image, each by one thread, and added up in their order.

#include <vector>

#include "pixels.h"

namespace {

// Runs work(b, first pixel, pixels, sums) for the parts of B images of N pixels -> the `count` sums that each has.
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
void collect(const float* sums, int64_t parts, int64_t stride, int64_t first, int64_t count, float* to) {
    for (int64_t part = 0; part < parts; ++part)
        for (int64_t i = 0; i < count; ++i) to[i] += sums[part * stride + first + i];
}

}  // namespace

extern "C" {

// d_projected (N, PROJECTED) and, if given, d_normal (N, C) -> d_x (N, C); adds to d_norm_weight, d_norm_bias (C) and
// d_weight (PROJECTED, C). `weight` is (PROJECTED, C), not transposed.
void normalise_and_project_gradient(
    const float* x, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon, const float* weight,
    const float* d_projected, const float* d_normal, float* d_x, float* d_norm_weight, float* d_norm_bias,
    float* d_weight, int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
    constexpr int64_t SUMS = PROJECTED * C + 2 * C;
    const auto sums = by_parts(1, N, SUMS, threads, [&](int64_t, int64_t first, int64_t pixels, float* mine) {
        alignas(64) float standard[TOKENS * C], normal[TOKENS * C], d_here[TOKENS * C], share[TOKENS];
        for (int64_t from = first; from < first + pixels; from += TOKENS) {
            const int count = int(std::min<int64_t>(TOKENS, first + pixels - from));
            const float* d_rows = d_projected + from * PROJECTED;
            for (int i = 0; i < count; ++i) {
                share[i] = norm.standard(x + (from + i) * C, standard + i * C);
                norm.scale(standard + i * C, normal + i * C);
            }
            const float* start = d_normal ? d_normal + from * C : ZEROS;
            layer<C>(d_rows, PROJECTED, 1, weight, C, PROJECTED, start, d_normal ? C : 0, d_here, C, count);
            layer<C>(d_rows, 1, PROJECTED, normal, C, count, mine, C, mine, C, PROJECTED);
            for (int i = 0; i < count; ++i)
                norm.gradient(
                    standard + i * C, share[i], d_here + i * C, d_x + (from + i) * C, mine + PROJECTED * C,
                    mine + PROJECTED * C + C);
        }
    });
    const int64_t parts = sums.size() / SUMS;
    collect(sums.data(), parts, SUMS, 0, PROJECTED * C, d_weight);
    collect(sums.data(), parts, SUMS, PROJECTED * C, C, d_norm_weight);
    collect(sums.data(), parts, SUMS, PROJECTED * C + C, C, d_norm_bias);
}

// d_mean (B, C) -> d_x (B, N, C); adds to d_norm_weight and d_norm_bias (C).
void mean_normal_gradient(
    const float* x, int64_t B, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon,
    const float* d_mean, float* d_x, float* d_norm_weight, float* d_norm_bias, int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
    const auto sums = by_parts(B, N, 2 * C, threads, [&](int64_t b, int64_t first, int64_t pixels, float* mine) {
        alignas(64) float standard[C], d_normal[C];
        for (int c = 0; c < C; ++c) d_normal[c] = d_mean[b * C + c] / N;
        for (int64_t i = b * N + first; i < b * N + first + pixels; ++i) {
            const float share = norm.standard(x + i * C, standard);
            norm.gradient(standard, share, d_normal, d_x + i * C, mine, mine + C);
        }
    });
    const int64_t parts = sums.size() / (2 * C);
    collect(sums.data(), parts, 2 * C, 0, C, d_norm_weight);
    collect(sums.data(), parts, 2 * C, C, C, d_norm_bias);
}

// Of `feed_forward`, with its arguments, and d_output (B, N, C) -> d_x. All else is added to: d_norm (2, C) weight and
// bias, d_squeeze (SQUEEZED, C), d_squeeze_bias and d_excite (SQUEEZED), d_excite_bias (1), d_expand (B, 2C, HIDDEN),
// d_expand_bias (HIDDEN), d_reduce (HIDDEN, C), d_reduce_bias (C). The *_transposed are expand's and reduce's.
void feed_forward_gradient(
    const float* x, int64_t B, int64_t N, const float* norm_weight, const float* norm_bias, float epsilon,
    const float* squeeze, const float* squeeze_bias, const float* excite, float excite_bias, const float* expand,
    const float* expand_bias, const float* squeeze_transposed, const float* expand_transposed,
    const float* reduce_transposed, const float* d_output, float* d_x, float* d_norm, float* d_squeeze,
    float* d_squeeze_bias, float* d_excite, float* d_excite_bias, float* d_expand, float* d_expand_bias,
    float* d_reduce, float* d_reduce_bias, int threads) {
    const Norm norm{norm_weight, norm_bias, epsilon};
    constexpr int NORM = 0, SQUEEZE = NORM + 2 * C, SQUEEZE_BIAS = SQUEEZE + SQUEEZED * C,
                  EXCITE = SQUEEZE_BIAS + SQUEEZED, EXCITE_BIAS = EXCITE + SQUEEZED, EXPAND = EXCITE_BIAS + LANES,
                  EXPAND_BIAS = EXPAND + 2 * C * HIDDEN, REDUCE = EXPAND_BIAS + HIDDEN,
                  REDUCE_BIAS = REDUCE + HIDDEN * C, SUMS = REDUCE_BIAS + C;
    const auto sums = by_parts(B, N, SUMS, threads, [&](int64_t b, int64_t first, int64_t pixels, float* mine) {
        alignas(64) float standard[TOKENS * C], share[TOKENS], both[TOKENS * 2 * C], d_both[TOKENS * 2 * C];
        alignas(64) float squeezed[TOKENS * SQUEEZED], d_squeezed[TOKENS * SQUEEZED], gates[TOKENS] = {};
        alignas(64) float wide[TOKENS * HIDDEN], active[TOKENS * HIDDEN], d_wide[TOKENS * HIDDEN];
        const auto add = [&](int at, Vector more) { store(mine + at, load(mine + at) + more); };
        for (int64_t from = first; from < first + pixels; from += TOKENS) {
            const int count = int(std::min<int64_t>(TOKENS, first + pixels - from));
            const float *rows = x + (b * N + from) * C, *d_rows = d_output + (b * N + from) * C;
            // As in the forward pass
            for (int i = 0; i < count; ++i) {
                share[i] = norm.standard(rows + i * C, standard + i * C);
                norm.scale(standard + i * C, both + i * 2 * C);
            }
            layer<SQUEEZED>(both, 2 * C, 1, squeeze, SQUEEZED, C, squeeze_bias, 0, squeezed, SQUEEZED, count);
            for (int i = 0; i < count; ++i)
                gates[i] = excite_bias + sum(gelu(load(squeezed + i * SQUEEZED)) * load(excite));
            for (int i = 0; i < TOKENS; i += LANES) store(gates + i, sigmoid(load(gates + i)));
            for (int i = 0; i < count; ++i)
                for (int c = 0; c < C; c += LANES)
                    store(both + (2 * i + 1) * C + c, load(both + 2 * i * C + c) * all(gates[i]));
            layer<HIDDEN>(
                both, 2 * C, 1, expand + b * 2 * C * HIDDEN, HIDDEN, 2 * C, expand_bias, 0, wide, HIDDEN, count);
            // Back through the two linear layers
            layer<HIDDEN>(d_rows, C, 1, reduce_transposed, HIDDEN, C, ZEROS, 0, d_wide, HIDDEN, count);
            for (int i = 0; i < count; ++i)
                for (int c = 0; c < HIDDEN; c += LANES) {
                    const int at = i * HIDDEN + c;
                    const Vector each = load(wide + at);
                    Vector density;
                    const Vector distribution = normal_distribution(each, &density);
                    const Vector d_each = load(d_wide + at) * (distribution + each * density);
                    store(active + at, each * distribution);
                    store(d_wide + at, d_each);
                    add(EXPAND_BIAS + c, d_each);
                }
            layer<C>(active, 1, HIDDEN, d_rows, C, count, mine + REDUCE, C, mine + REDUCE, C, HIDDEN);
            layer<HIDDEN>(both, 1, 2 * C, d_wide, HIDDEN, count, mine + EXPAND, HIDDEN, mine + EXPAND, HIDDEN, 2 * C);
            layer<2 * C>(
                d_wide, HIDDEN, 1, expand_transposed + b * 2 * C * HIDDEN, 2 * C, HIDDEN, ZEROS, 0, d_both, 2 * C, count);
            // Through the pixel gate
            for (int i = 0; i < count; ++i) {
                float *d_normal = d_both + i * 2 * C, *d_gated = d_normal + C, *normal = both + i * 2 * C;
                Vector along{};
                for (int c = 0; c < C; c += LANES) {
                    along += load(normal + c) * load(d_gated + c);
                    store(d_normal + c, load(d_normal + c) + all(gates[i]) * load(d_gated + c));
                    add(REDUCE_BIAS + c, load(d_rows + i * C + c));
                }
                const float d_gate = sum(along) * gates[i] * (1 - gates[i]);
                const Vector each = load(squeezed + i * SQUEEZED);
                const Vector d_each = all(d_gate) * load(excite) * gelu_slope(each);
                store(d_squeezed + i * SQUEEZED, d_each);
                add(SQUEEZE_BIAS, d_each);
                add(EXCITE, all(d_gate) * gelu(each));
                mine[EXCITE_BIAS] += d_gate;
            }
            layer<C>(d_squeezed, 1, SQUEEZED, both, 2 * C, count, mine + SQUEEZE, C, mine + SQUEEZE, C, SQUEEZED);
            layer<C>(d_squeezed, SQUEEZED, 1, squeeze_transposed, C, SQUEEZED, d_both, 2 * C, d_both, 2 * C, count);
            for (int i = 0; i < count; ++i) {
                float* to = d_x + (b * N + from + i) * C;
                norm.gradient(standard + i * C, share[i], d_both + i * 2 * C, to, mine + NORM, mine + NORM + C);
                for (int c = 0; c < C; c += LANES) store(to + c, load(to + c) + load(d_rows + i * C + c));
            }
        }
    });
    const int64_t parts = sums.size() / SUMS;
    const auto total = [&](int first, int count, float* to) { collect(sums.data(), parts, SUMS, first, count, to); };
    total(NORM, 2 * C, d_norm);
    total(SQUEEZE, SQUEEZED * C, d_squeeze);
    total(SQUEEZE_BIAS, SQUEEZED, d_squeeze_bias);
    total(EXCITE, SQUEEZED, d_excite);
    total(EXCITE_BIAS, 1, d_excite_bias);
    total(EXPAND_BIAS, HIDDEN, d_expand_bias);
    total(REDUCE, HIDDEN * C, d_reduce);
    total(REDUCE_BIAS, C, d_reduce_bias);
    for (int64_t b = 0; b < B; ++b)
        collect(&sums[b * (parts / B) * SUMS], parts / B, SUMS, EXPAND, 2 * C * HIDDEN, d_expand + b * 2 * C * HIDDEN);
}
}
