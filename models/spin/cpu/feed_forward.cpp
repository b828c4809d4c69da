// The FFN of a SPIN block with its residual (Section 3.2): one pass for the mean, then one pass, tile by tile.

#include "feed_forward.h"

extern "C" {

// x (B, N, C) -> output (B, N, C), and the mean over the pixels of its LayerNorm (B, C), which the gradient needs.
void feed_forward(
    const float* x, int64_t B, int64_t N, const float* const* weights, float epsilon, float* output, float* mean,
    int threads) {
    const Norm norm{weights[NORM], weights[NORM_BIAS], epsilon};
    const auto sums = by_parts(B, N, C, threads, [&](int64_t b, int64_t first, int64_t pixels, float* mine) {
        alignas(64) float row[C];
        for (int64_t i = b * N + first; i < b * N + first + pixels; ++i) {
            norm(x + i * C, row);
            for (int c = 0; c < C; c += LANES) store(mine + c, load(mine + c) + load(row + c));
        }
    });
    const int64_t parts = sums.size() / (B * C);
    for (int64_t b = 0; b < B; ++b)
        for (int c = 0; c < C; ++c) {
            double total = 0;
            for (int64_t part = 0; part < parts; ++part) total += sums[(b * parts + part) * C + c];
            mean[b * C + c] = float(total / N);
        }

    const Layers layers(weights, epsilon, mean, B);
    const int64_t tiles = (N + TOKENS - 1) / TOKENS;
#pragma omp parallel for num_threads(threads)
    for (int64_t task = 0; task < B * tiles; ++task) {
        const int64_t b = task / tiles, from = task % tiles * TOKENS;
        const int count = int(std::min<int64_t>(TOKENS, N - from));
        const float* rows = x + (b * N + from) * C;
        float* to = output + (b * N + from) * C;
        Tile tile;
        for (int i = 0; i < count; ++i) norm(rows + i * C, tile.both + i * 2 * C);
        tile.fill(layers, b, count);
        for (int i = 0; i < count * HIDDEN; i += LANES) store(tile.wide + i, gelu(load(tile.wide + i)));
        for (int i = 0; i < count; ++i)
            for (int c = 0; c < C; c += LANES)
                store(to + i * C + c, load(rows + i * C + c) + load(weights[REDUCE_BIAS] + c));
        in_runs<2>(count, [&](int64_t i, auto run) {
            product<decltype(run)::value, C>(
                tile.wide + i * HIDDEN, HIDDEN, 1, layers.reduce.data(), C, HIDDEN, to + i * C, C, to + i * C, C);
        });
    }
}
}
