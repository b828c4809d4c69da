// The weights of the FFN of a SPIN block (Section 3.2), its gates, and a tile of pixels up to its hidden layer.
#pragma once

#include "pixels.h"

namespace {

enum Part {  // of the weights, in PyTorch's layout
    NORM,
    NORM_BIAS,
    CHANNEL_SQUEEZE,
    CHANNEL_SQUEEZE_BIAS,
    CHANNEL_EXCITE,
    CHANNEL_EXCITE_BIAS,
    PIXEL_SQUEEZE,
    PIXEL_SQUEEZE_BIAS,
    PIXEL_EXCITE,
    PIXEL_EXCITE_BIAS,
    EXPAND,
    EXPAND_BIAS,
    REDUCE,
    REDUCE_BIAS
};

inline Vector few(const float* from) {  // GATE numbers and zeros
    Vector x{};
    for (int i = 0; i < GATE; ++i) x[i] = from[i];
    return x;
}

// Weights in the layout of `product`, and the channel gates of every image, which are part of them.
struct Layers {
    const float* const* of;
    Norm norm;
    std::vector<float> means, gates, squeezed;   // (B, C), (B, C), (B, LANES) before the GELU
    std::vector<float> squeeze, expand, reduce;  // (C, LANES), (B, 2C, HIDDEN), (HIDDEN, C)
    Vector squeeze_bias, excite;

    Layers(const float* const* weights, float epsilon, const float* mean, int64_t B)
        : of(weights),
          norm{weights[NORM], weights[NORM_BIAS], epsilon},
          means(mean, mean + B * C),
          gates(B * C),
          squeezed(B * LANES),
          squeeze(C * LANES),
          expand(B * 2 * C * HIDDEN),
          reduce(HIDDEN * C) {
        for (int c = 0; c < C; ++c)
            for (int k = 0; k < GATE; ++k) squeeze[c * LANES + k] = of[PIXEL_SQUEEZE][k * C + c];
        squeeze_bias = few(of[PIXEL_SQUEEZE_BIAS]), excite = few(of[PIXEL_EXCITE]);
        for (int h = 0; h < HIDDEN; ++h)
            for (int c = 0; c < C; ++c) reduce[h * C + c] = of[REDUCE][c * HIDDEN + h];
        for (int64_t b = 0; b < B; ++b) {
            Vector sums = few(of[CHANNEL_SQUEEZE_BIAS]);
            for (int k = 0; k < GATE; ++k)
                for (int c = 0; c < C; ++c) sums[k] += of[CHANNEL_SQUEEZE][k * C + c] * means[b * C + c];
            store(&squeezed[b * LANES], sums);
            const Vector active = gelu(sums);
            for (int c = 0; c < C; ++c)
                gates[b * C + c] = of[CHANNEL_EXCITE_BIAS][c] + sum(few(of[CHANNEL_EXCITE] + c * GATE) * active);
            for (int c = 0; c < C; c += LANES) store(&gates[b * C + c], sigmoid(load(&gates[b * C + c])));
            // W [g n; p n] = (W1 diag g) n + W2 (p n)
            float* to = &expand[b * 2 * C * HIDDEN];
            for (int h = 0; h < HIDDEN; ++h)
                for (int c = 0; c < 2 * C; ++c)
                    to[c * HIDDEN + h] = of[EXPAND][h * 2 * C + c] * (c < C ? gates[b * C + c] : 1.f);
        }
    }
};

struct Tile {
    alignas(64) float both[TOKENS * 2 * C];      // LayerNorm n, and p n with the pixel gate p
    alignas(64) float squeezed[TOKENS * LANES];  // what the pixel gate comes from, before its GELU
    alignas(64) float gates[TOKENS];             // p
    alignas(64) float wide[TOKENS * HIDDEN];     // before the GELU

    // All but the LayerNorm, which lies in `both` already.
    void fill(const Layers& layers, int64_t b, int count) {
        alignas(64) float bias[LANES];
        store(bias, layers.squeeze_bias);
        layer<LANES>(both, 2 * C, 1, layers.squeeze.data(), LANES, C, bias, 0, squeezed, LANES, count);
        std::fill(gates, gates + TOKENS, 0.f);
        for (int i = 0; i < count; ++i)
            gates[i] = layers.of[PIXEL_EXCITE_BIAS][0] + sum(gelu(load(squeezed + i * LANES)) * layers.excite);
        for (int i = 0; i < TOKENS; i += LANES) store(gates + i, sigmoid(load(gates + i)));
        for (int i = 0; i < count; ++i)
            for (int c = 0; c < C; c += LANES)
                store(both + (2 * i + 1) * C + c, load(both + 2 * i * C + c) * all(gates[i]));
        layer<HIDDEN>(
            both, 2 * C, 1, &layers.expand[b * 2 * C * HIDDEN], HIDDEN, 2 * C, layers.of[EXPAND_BIAS], 0, wide, HIDDEN,
            count);
    }
};

}  // namespace
