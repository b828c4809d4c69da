// LayerNorm and the projections of an attention, in one pass, and their gradients.

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
        layer<PROJECTED>(rows, C, 1, weight, PROJECTED, C, ZEROS, 0, projected + from * PROJECTED, PROJECTED, count);
    }
}

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
}
