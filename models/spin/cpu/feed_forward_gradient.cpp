// The gradient of the FFN. Intermediate values are computed again; the LayerNorm's gradient takes a second pass, since
// the channel gates depend on all pixels.

#include "feed_forward.h"

namespace {

// Sums over the pixels of a part of the image.
constexpr int SQUEEZES = 0, SQUEEZE_BIASES = SQUEEZES + LANES * C, EXCITES = SQUEEZE_BIASES + LANES,
              EXCITE_BIASES = EXCITES + LANES, EXPANDS = EXCITE_BIASES + LANES,
              EXPAND_BIASES = EXPANDS + 2 * C * HIDDEN, REDUCES = EXPAND_BIASES + HIDDEN,
              REDUCE_BIASES = REDUCES + HIDDEN * C, SUMS = REDUCE_BIASES + C;

// Through the channel gate of an image: d_expand (2C, HIDDEN) -> d_mean (C); adds to d_weights.
void through_channel_gate(
    const Layers& layers, int64_t b, const float* d_expand, float* const* d_weights, float* d_mean) {
    const float *gates = &layers.gates[b * C], *mean = &layers.means[b * C];
    const Vector squeezed = load(&layers.squeezed[b * LANES]), active = gelu(squeezed);
    Vector d_active{};
    for (int c = 0; c < C; ++c) {
        float d_gate = 0;
        for (int h = 0; h < HIDDEN; ++h) {
            d_gate += d_expand[c * HIDDEN + h] * layers.of[EXPAND][h * 2 * C + c];
            d_weights[EXPAND][h * 2 * C + c] += d_expand[c * HIDDEN + h] * gates[c];
            d_weights[EXPAND][h * 2 * C + C + c] += d_expand[(C + c) * HIDDEN + h];
        }
        d_gate *= gates[c] * (1 - gates[c]);
        d_weights[CHANNEL_EXCITE_BIAS][c] += d_gate;
        for (int k = 0; k < GATE; ++k) {
            d_weights[CHANNEL_EXCITE][c * GATE + k] += d_gate * active[k];
            d_active[k] += d_gate * layers.of[CHANNEL_EXCITE][c * GATE + k];
        }
    }
    const Vector d_squeezed = d_active * gelu_slope(squeezed);
    std::fill_n(d_mean, C, 0.f);
    for (int k = 0; k < GATE; ++k) {
        d_weights[CHANNEL_SQUEEZE_BIAS][k] += d_squeezed[k];
        for (int c = 0; c < C; ++c) {
            d_weights[CHANNEL_SQUEEZE][k * C + c] += d_squeezed[k] * mean[c];
            d_mean[c] += d_squeezed[k] * layers.of[CHANNEL_SQUEEZE][k * C + c];
        }
    }
}

}  // namespace

extern "C" {

// Of `feed_forward`: d_output (B, N, C) -> d_x; adds to d_weights, which lie like the weights.
void feed_forward_gradient(
    const float* x, int64_t B, int64_t N, const float* const* weights, float epsilon, const float* mean,
    const float* d_output, float* d_x, float* const* d_weights, int threads) {
    const Layers layers(weights, epsilon, mean, B);
    std::vector<float> back(B * HIDDEN * 2 * C);  // of the gated weights, (HIDDEN, 2C)
    for (int64_t b = 0; b < B; ++b)
        for (int h = 0; h < HIDDEN; ++h)
            for (int c = 0; c < 2 * C; ++c)
                back[(b * HIDDEN + h) * 2 * C + c] =
                    weights[EXPAND][h * 2 * C + c] * (c < C ? layers.gates[b * C + c] : 1);

    // Up to the LayerNorm, whose gradient lies in d_x until it is known as a whole
    const auto sums = by_parts(B, N, SUMS, threads, [&](int64_t b, int64_t first, int64_t pixels, float* mine) {
        Tile tile;
        alignas(64) float d_both[TOKENS * 2 * C], d_squeezed[TOKENS * LANES], active[TOKENS * HIDDEN],
            d_wide[TOKENS * HIDDEN];
        const auto add = [&](int at, Vector more) { store(mine + at, load(mine + at) + more); };
        for (int64_t from = first; from < first + pixels; from += TOKENS) {
            const int count = int(std::min<int64_t>(TOKENS, first + pixels - from));
            const float *rows = x + (b * N + from) * C, *d_rows = d_output + (b * N + from) * C;
            for (int i = 0; i < count; ++i) layers.norm(rows + i * C, tile.both + i * 2 * C);
            tile.fill(layers, b, count);
            layer<HIDDEN>(d_rows, C, 1, weights[REDUCE], HIDDEN, C, ZEROS, 0, d_wide, HIDDEN, count);
            for (int i = 0; i < count; ++i)
                for (int c = 0; c < HIDDEN; c += LANES) {
                    const int at = i * HIDDEN + c;
                    const Vector each = load(tile.wide + at);
                    Vector density;
                    const Vector distribution = normal_distribution(each, &density);
                    const Vector d_each = load(d_wide + at) * (distribution + each * density);
                    store(active + at, each * distribution);
                    store(d_wide + at, d_each);
                    add(EXPAND_BIASES + c, d_each);
                }
            layer<C>(active, 1, HIDDEN, d_rows, C, count, mine + REDUCES, C, mine + REDUCES, C, HIDDEN);
            layer<HIDDEN>(
                tile.both, 1, 2 * C, d_wide, HIDDEN, count, mine + EXPANDS, HIDDEN, mine + EXPANDS, HIDDEN, 2 * C);
            layer<2 * C>(d_wide, HIDDEN, 1, &back[b * HIDDEN * 2 * C], 2 * C, HIDDEN, ZEROS, 0, d_both, 2 * C, count);
            for (int i = 0; i < count; ++i) {
                float *d_normal = d_both + i * 2 * C, *d_gated = d_normal + C, *normal = tile.both + i * 2 * C;
                Vector along{};
                for (int c = 0; c < C; c += LANES) {
                    along += load(normal + c) * load(d_gated + c);
                    store(d_normal + c, load(d_normal + c) + all(tile.gates[i]) * load(d_gated + c));
                    add(REDUCE_BIASES + c, load(d_rows + i * C + c));
                }
                const float d_gate = sum(along) * tile.gates[i] * (1 - tile.gates[i]);
                const Vector each = load(tile.squeezed + i * LANES);
                const Vector d_each = all(d_gate) * layers.excite * gelu_slope(each);
                store(d_squeezed + i * LANES, d_each);
                add(SQUEEZE_BIASES, d_each);
                add(EXCITES, all(d_gate) * gelu(each));
                mine[EXCITE_BIASES] += d_gate;
            }
            layer<C>(d_squeezed, 1, LANES, tile.both, 2 * C, count, mine + SQUEEZES, C, mine + SQUEEZES, C, LANES);
            layer<C>(
                d_squeezed, LANES, 1, weights[PIXEL_SQUEEZE], C, GATE, d_both, 2 * C, d_x + (b * N + from) * C, C,
                count);
        }
    });
    const int64_t parts = sums.size() / SUMS;
    const auto total = [&](int first, int count, float* to) { collect(sums.data(), parts, SUMS, first, count, to); };
    total(SQUEEZES, GATE * C, d_weights[PIXEL_SQUEEZE]);
    total(SQUEEZE_BIASES, GATE, d_weights[PIXEL_SQUEEZE_BIAS]);
    total(EXCITES, GATE, d_weights[PIXEL_EXCITE]);
    total(EXCITE_BIASES, 1, d_weights[PIXEL_EXCITE_BIAS]);
    total(EXPAND_BIASES, HIDDEN, d_weights[EXPAND_BIAS]);
    total(REDUCE_BIASES, C, d_weights[REDUCE_BIAS]);
    std::vector<float> of_reduce(HIDDEN * C), of_expand(2 * C * HIDDEN), d_mean(B * C);
    total(REDUCES, HIDDEN * C, of_reduce.data());
    for (int h = 0; h < HIDDEN; ++h)
        for (int c = 0; c < C; ++c) d_weights[REDUCE][c * HIDDEN + h] += of_reduce[h * C + c];
    for (int64_t b = 0; b < B; ++b) {
        std::fill(of_expand.begin(), of_expand.end(), 0.f);
        collect(&sums[b * (parts / B) * SUMS], parts / B, SUMS, EXPANDS, 2 * C * HIDDEN, of_expand.data());
        through_channel_gate(layers, b, of_expand.data(), d_weights, &d_mean[b * C]);
    }

    // Through the LayerNorm, and the residual
    const auto of_norm = by_parts(B, N, 2 * C, threads, [&](int64_t b, int64_t first, int64_t pixels, float* mine) {
        alignas(64) float standard[C], d_normal[C];
        for (int64_t i = b * N + first; i < b * N + first + pixels; ++i) {
            const float share = layers.norm.standard(x + i * C, standard);
            for (int c = 0; c < C; c += LANES)
                store(d_normal + c, load(d_x + i * C + c) + load(&d_mean[b * C + c]) * all(1.f / N));
            layers.norm.gradient(standard, share, d_normal, d_x + i * C, mine, mine + C);
            for (int c = 0; c < C; c += LANES)
                store(d_x + i * C + c, load(d_x + i * C + c) + load(d_output + i * C + c));
        }
    });
    collect(of_norm.data(), parts, 2 * C, 0, C, d_weights[NORM]);
    collect(of_norm.data(), parts, 2 * C, C, C, d_weights[NORM_BIAS]);
}
}
