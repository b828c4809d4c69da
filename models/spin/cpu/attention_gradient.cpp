// The gradient of attention. Weights are computed again, a tile at a time.
//
// For weights w, their sum s and output y: dv = wᵀ (dy / s), and that of the scores is w ((dy / s) vᵀ - (dy / s)·y).

#include <memory>
#include <vector>

#include "attention.h"

namespace {

constexpr int KEYS = 48;           // of a tile
constexpr int QUERIES = 4 * ROWS;  // of a tile
constexpr float ALL = 1;           // the share of every row

// Queries with what the gradient needs of them, packed.
struct Queries {
    explicit Queries(int64_t count) : memory(count * (D + C + 1)), count(count) {}
    std::vector<float> memory;
    int64_t count;
    float* rows() { return memory.data(); }            // (L, D), scaled for 2^x
    float* outward() { return rows() + count * D; }    // (L, C), dy / s
    float* inward() { return outward() + count * C; }  // (L), -(dy / s)·y

    void pack(Rows query, Rows output, Rows d_output, Rows shares, const float* sums, int64_t L, float scale) {
        pack_queries(query, L, scale * LOG2_E, rows());
        for (int64_t i = 0; i < L; ++i) {
            const Vector share = all(*shares(i) / sums[i]);
            Vector inner{};
            for (int e = 0; e < C; e += LANES) {
                const Vector each = load(d_output(i) + e) * share;
                store(outward() + i * C + e, each);
                inner -= each * load(output(i) + e);
            }
            inward()[i] = sum(inner);
        }
    }
};

// Adds to d_query (L, ·), whose scale is left out; sets d_key and d_value (S, ·). Rows are `*_stride` apart.
void gradient_rows(
    Queries& queries, int64_t L, Rows key, Rows value, int64_t S, float* d_query, int query_stride, float* d_key,
    int key_stride, float* d_value, int value_stride) {
    alignas(64) float keys[D * KEYS], values[C * KEYS], key_rows[KEYS * D], d_keys[KEYS * D], d_values[KEYS * C];
    alignas(64) float weights[QUERIES * KEYS], d_scores[QUERIES * KEYS];
    const int64_t step = part(S, KEYS, 2 * LANES);
    for (int64_t from = 0; from < S; from += step) {
        const int count = int(std::min(step, S - from));
        pack_transposed<D, KEYS>(key.from(from), count, keys);
        pack_transposed<C, KEYS>(value.from(from), count, values);
        pack<D>(key.from(from), count, key_rows);
        std::fill(d_keys, d_keys + count * D, 0.f);
        std::fill(d_values, d_values + count * C, 0.f);
        for (int64_t i = 0; i < L; i += QUERIES) {
            const int some = int(std::min<int64_t>(QUERIES, L - i));
            const float *query = queries.rows() + i * D, *outward = queries.outward() + i * C;
            in_runs<ROWS>(some, [&](int64_t r, auto rows) {
                constexpr int R = decltype(rows)::value;
                weigh<R, KEYS>(query + r * D, keys, count, weights + r * KEYS, nullptr);
                for (int s = 0; s < count; s += 2 * LANES) {
                    Vector of[R][2];
                    scores<R, C, KEYS>(outward + r * C, values + s, queries.inward() + i + r, of);
#pragma GCC unroll 6
                    for (int each = 0; each < R; ++each)
                        for (int half = 0; half < 2; ++half) {
                            const int64_t at = (r + each) * KEYS + s + half * LANES;
                            store(d_scores + at, of[each][half] * load(weights + at));
                        }
                }
            });
            in_runs<4>(some, [&](int64_t r, auto rows) {
                float* to = d_query + (i + r) * query_stride;
                product<decltype(rows)::value, D>(
                    d_scores + r * KEYS, KEYS, 1, key_rows, D, count, to, query_stride, to, query_stride);
            });
            in_runs<2>(count, [&](int64_t s, auto rows) {
                float* to = d_values + s * C;
                product<decltype(rows)::value, C>(weights + s, 1, KEYS, outward, C, some, to, C, to, C);
            });
            in_runs<4>(count, [&](int64_t s, auto rows) {
                float* to = d_keys + s * D;
                product<decltype(rows)::value, D>(d_scores + s, 1, KEYS, query, D, some, to, D, to, D);
            });
        }
        for (int s = 0; s < count; ++s) {
            for (int d = 0; d < D; d += LANES)
                store(d_key + (from + s) * key_stride + d, load(d_keys + s * D + d) * all(1 / LOG2_E));
            std::memcpy(d_value + (from + s) * value_stride, d_values + s * C, 4 * C);
        }
    }
}

// to (count) = scale · the sum of `parts` runs of `count` numbers, in their order.
void add_up(const float* from, int64_t parts, int64_t count, float scale, float* to) {
    std::fill(to, to + count, 0.f);
    for (int64_t part = 0; part < parts; ++part)
        for (int64_t i = 0; i < count; ++i) to[i] += scale * from[part * count + i];
}

}  // namespace

extern "C" {

// Of `attend`, whose arguments and results these are; d_output (B, L, C) -> d_q (B, L, D), d_k (B, S, D), d_v (B, S,
// C). The longer of queries and keys is split among the threads; what all parts add to the others is added up in order.
void attend_gradient(
    const float* q, int64_t q_batch, int64_t q_row, const float* k, int64_t k_batch, int64_t k_row, const float* v,
    int64_t v_batch, int64_t v_row, int64_t B, int64_t L, int64_t S, float scale, const float* output,
    const float* sums, const float* d_output, float* d_q, float* d_k, float* d_v, int threads) {
    const bool by_query = L >= S;
    const int64_t step = part(by_query ? L : S, 512, QUERIES), parts = ((by_query ? L : S) + step - 1) / step;
    const int64_t most_queries = by_query ? step : L;
    // Of every image and part: by query d_k, then d_v of all keys; by key d_q of all queries.
    const int64_t shared = by_query ? S * (D + C) : L * D;
    std::unique_ptr<float[]> memory(new float[B * parts * shared]);
#pragma omp parallel num_threads(threads)
    {
        Queries queries(most_queries);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < B * parts; ++task) {
            const int64_t b = task / parts, from = task % parts * step;
            const int64_t row = by_query ? from : 0, rows = by_query ? std::min(step, L - from) : L;
            const int64_t source = by_query ? 0 : from, sources = by_query ? S : std::min(step, S - from);
            float* mine = memory.get() + task * shared;
            float* to_q = by_query ? d_q + (b * L + row) * D : mine;
            float* to_k = by_query ? mine : d_k + (b * S + source) * D;
            float* to_v = by_query ? mine + S * D : d_v + (b * S + source) * C;
            queries.pack(
                {q + b * q_batch + row * q_row, q_row}, {output + (b * L + row) * C, C},
                {d_output + (b * L + row) * C, C}, {&ALL, 0}, sums + b * L + row, rows, scale);
            std::fill(to_q, to_q + rows * D, 0.f);
            gradient_rows(
                queries, rows, {k + b * k_batch + source * k_row, k_row}, {v + b * v_batch + source * v_row, v_row},
                sources, to_q, D, to_k, D, to_v, C);
            if (by_query)
                for (int64_t i = 0; i < rows * D; ++i) to_q[i] *= scale;
        }
#pragma omp for
        for (int64_t b = 0; b < B; ++b) {
            const float* from = memory.get() + b * parts * shared;
            if (by_query) {
                std::vector<float> both(shared);
                add_up(from, parts, shared, 1, both.data());
                std::copy_n(both.data(), S * D, d_k + b * S * D);
                std::copy_n(both.data() + S * D, S * C, d_v + b * S * C);
            } else
                add_up(from, parts, shared, scale, d_q + b * L * D);
        }
    }
}

// Of `attend_groups`: d_total (R, C) -> d_projected (R, D + D + C). That of x is d_total itself.
void attend_groups_gradient(
    const float* projected, const float* shares, int64_t R, const int64_t* groups, int64_t G, int64_t n, float scale,
    int64_t own, const float* mixed, const float* sums, const float* d_total, float* d_projected, int threads) {
    const int64_t together = groups_together(G, n, PROJECTED, threads);
    std::unique_ptr<float[]> piece(new float[together * n * PROJECTED]);
#pragma omp parallel num_threads(threads)
    {
        Queries queries(n);
#pragma omp for
        for (int64_t i = 0; i < R; ++i) {
            std::fill_n(d_projected + i * PROJECTED, 2 * D, 0.f);
            for (int c = 0; c < C; c += LANES)
                store(
                    d_projected + i * PROJECTED + 2 * D + c,
                    own ? all(shares[i]) * load(d_total + i * C + c) : Vector{});
        }
        for (int64_t begin = 0; begin < G; begin += together) {
            const int64_t end = std::min(G, begin + together);
#pragma omp for schedule(dynamic)
            for (int64_t g = begin; g < end; ++g) {
                const int64_t* index = groups + g * n;
                const Rows query{projected, PROJECTED, index};
                float* to = piece.get() + (g - begin) * n * PROJECTED;
                queries.pack(
                    query, {mixed + g * n * C, C}, {d_total, C, index}, {shares, 1, index}, sums + g * n, n, scale);
                for (int64_t i = 0; i < n; ++i) std::fill_n(to + i * PROJECTED, D, 0.f);
                gradient_rows(
                    queries, n, query.right(D), query.right(2 * D), n, to, PROJECTED, to + D, PROJECTED, to + 2 * D,
                    PROJECTED);
                for (int64_t i = 0; i < n; ++i)
                    for (int d = 0; d < D; ++d) to[i * PROJECTED + d] *= scale;
            }
            scatter<PROJECTED>(piece.get(), groups + begin * n, (end - begin) * n, nullptr, d_projected, threads);
        }
    }
}
}
