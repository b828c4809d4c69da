// softmax(scale · Q Kᵀ) V for SPIN's widths, and its gradient: weights live in the first-level cache only.
//
// No maximum is subtracted; the caller checks that the sums of the weights are well within the range of float32.

#include "attention.h"

#include <memory>
#include <vector>

namespace {

constexpr int KEYS = 96;  // of a tile, with their values 24 KiB

// Attention of packed queries (L, D) to S keys: mixed (L, C) and sums (L). `lanes` (L, 8) is for the work.
void attend_rows(
    const float* query, int64_t L, Rows key, Rows value, int64_t S, float* mixed, float* sums, float* lanes) {
    alignas(64) float keys[D * KEYS], values[KEYS * C], weights[ROWS * KEYS];
    std::fill(mixed, mixed + L * C, 0.f);
    std::fill(lanes, lanes + L * LANES, 0.f);
    const int64_t step = part(S, KEYS, 2 * LANES);
    for (int64_t from = 0; from < S; from += step) {
        const int count = int(std::min(step, S - from));
        pack_transposed<D, KEYS>(key.from(from), count, keys);
        pack<C>(value.from(from), count, values);
        in_runs<ROWS>(L, [&](int64_t i, auto rows) {
            constexpr int R = decltype(rows)::value;
            weigh<R, KEYS>(query + i * D, keys, count, weights, lanes + i * LANES);
            in_runs<2>(R, [&](int64_t r, auto pair) {
                float* to = mixed + (i + r) * C;
                product<decltype(pair)::value, C>(weights + r * KEYS, KEYS, 1, values, C, count, to, C, to, C);
            });
        });
    }
    for (int64_t i = 0; i < L; ++i) {
        sums[i] = sum(load(lanes + i * LANES));
        const Vector share = all(1 / sums[i]);
        for (int e = 0; e < C; e += LANES) store(mixed + i * C + e, load(mixed + i * C + e) * share);
    }
}

}  // namespace

extern "C" {

// q (B, L, D), k (B, S, D), v (B, S, C), given by their strides, rows contiguous -> mixed (B, L, C), sums (B, L).
void attend(
    const float* q, int64_t q_batch, int64_t q_row, const float* k, int64_t k_batch, int64_t k_row, const float* v,
    int64_t v_batch, int64_t v_row, int64_t B, int64_t L, int64_t S, float scale, float* mixed, float* sums,
    int threads) {
    const int64_t step = part(L, std::clamp<int64_t>((L + threads - 1) / threads, ROWS, 240), ROWS);
    const int64_t parts = (L + step - 1) / step;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> memory(step * (D + LANES));
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < B * parts; ++task) {
            const int64_t b = task / parts, from = task % parts * step, count = std::min(step, L - from);
            pack_queries({q + b * q_batch + from * q_row, q_row}, count, scale * LOG2_E, memory.data());
            attend_rows(
                memory.data(), count, {k + b * k_batch, k_row}, {v + b * v_batch, v_row}, S, mixed + (b * L + from) * C,
                sums + b * L + from, memory.data() + step * D);
        }
    }
}

// Attention within each of G groups of n rows of projected (R, D + D + C): total (R, C) is x, plus by the shares (R)
// the outputs for these rows, and if `own` their own values. sums (G, n); mixed (G, n, C) keeps the outputs for the
// gradient; without it the groups are processed piece by piece.
void attend_groups(
    const float* x, const float* projected, const float* shares, int64_t R, const int64_t* groups, int64_t G, int64_t n,
    float scale, int64_t own, float* total, float* mixed, float* sums, int threads) {
    const int64_t together = mixed ? G : groups_together(G, n, C, threads);
    std::unique_ptr<float[]> piece;
    if (!mixed) piece.reset(new float[together * n * C]);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> memory(n * (D + LANES));
#pragma omp for
        for (int64_t i = 0; i < R; ++i) {
            const float* value = projected + i * PROJECTED + 2 * D;
            for (int c = 0; c < C; c += LANES) {
                const Vector start = load(x + i * C + c);
                store(total + i * C + c, own ? start + all(shares[i]) * load(value + c) : start);
            }
        }
        for (int64_t begin = 0; begin < G; begin += together) {
            const int64_t end = std::min(G, begin + together);
            float* here = mixed ? mixed : piece.get();
#pragma omp for schedule(dynamic)
            for (int64_t g = begin; g < end; ++g) {
                const Rows query{projected, PROJECTED, groups + g * n};
                pack_queries(query, n, scale * LOG2_E, memory.data());
                attend_rows(
                    memory.data(), n, query.right(D), query.right(2 * D), n, here + (g - begin) * n * C, sums + g * n,
                    memory.data() + n * D);
            }
            scatter<C>(here, groups + begin * n, (end - begin) * n, shares, total, threads);
        }
    }
}
}
