// Superpixel association (paper Section 3.1): soft k-means over the nine cells around each pixel, cell by cell.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "vectors.h"

namespace {

constexpr int NINE = 9;
constexpr float FAR = -1e30f, INF = std::numeric_limits<float>::infinity();

// The pixels of each cell, and the cells around it: a cell is neighbour 8 - j of its own neighbour j.
struct Cells {
    const int64_t* pixels;      // (M, P), filled up with some pixel
    const bool* inside;         // (M, P), or null if no cell is filled up
    const int64_t* neighbours;  // (M, 9), the cell itself where there is none
    const bool* exists;         // (M, 9)
    int64_t M, P;
    int64_t columns() const { return (P + LANES - 1) / LANES * LANES; }
};

// Natural logarithm of numbers in [1, 9], to a few units in the last place.
inline Vector log(Vector x) {
    const Integers bits = (Integers)x, exponent = (bits - 0x3f3504f3) >> 23;  // of x / sqrt(2), rounded down
    const Vector part = (Vector)(bits - (exponent << 23));                    // within [sqrt(1/2), sqrt(2)]
    const Vector t = (part - all(1.f)) / (part + all(1.f)), square = t * t;
    Vector series = all(2.f / 9);
    series = series * square + all(2.f / 7);
    series = series * square + all(2.f / 5);
    series = series * square + all(2.f / 3);
    series = series * square + all(2.f);
    return series * t + __builtin_convertvector(exponent, Vector) * all(0.69314718f);
}

// e^x, and 0 instead of less than 2^-126.
inline Vector exp(Vector x) {
    const Integers lost = x < all(-87.336544f);
    return (Vector)((Integers)exp2(x * all(LOG2_E)) & ~lost);
}

// Nine weights of eight pixels, and, if asked for, log A - log(1 - A) for them: the logit minus the log of the sum of
// the others' exponentials.
inline void soften(const Vector (&logits)[NINE], Vector (&weights)[NINE], Vector* scores) {
    Vector largest = logits[0], second = all(FAR), total{};
    Integers taken{}, winner[NINE];
    for (int j = 1; j < NINE; ++j) largest = larger(largest, logits[j]);
    for (int j = 0; j < NINE; ++j) {
        total += weights[j] = exp(logits[j] - largest);
        winner[j] = (logits[j] == largest) & ~taken;
        taken |= winner[j];
        second = larger(second, choose(winner[j], all(FAR), logits[j]));
    }
    if (scores) {
        Vector rest{};
        for (int j = 0; j < NINE; ++j) rest += choose(winner[j], Vector{}, exp(logits[j] - second));
        const Vector of_winner = second + log(rest);
        for (int j = 0; j < NINE; ++j)
            scores[j] = logits[j] - choose(winner[j], of_winner, largest + log(total - weights[j]));
    }
    for (int j = 0; j < NINE; ++j) weights[j] = weights[j] / total;
}

// Nine sums (C) of weights (9, stride) times the pixels (P, C) of a cell, and of the weights alone.
inline void add_up(const float* weights, int64_t stride, const float* pixels, int64_t P, float* sums, float* masses) {
    std::fill_n(sums, NINE * C, 0.f);
    in_runs<2>(NINE, [&](int64_t j, auto run) {
        product<decltype(run)::value, C>(
            weights + j * stride, int(stride), 1, pixels, C, int(P), sums + j * C, C, sums + j * C, C);
    });
    for (int j = 0; j < NINE; ++j) {
        Vector lanes{};
        int64_t p = 0;
        for (; p + LANES <= P; p += LANES) lanes += load(weights + j * stride + p);
        masses[j] = sum(lanes);
        for (; p < P; ++p) masses[j] += weights[j * stride + p];
    }
}

// A superpixel's mean (C) and mass from the sums (M, 9, C) and masses (M, 9) of the cells around it.
inline float gather(const Cells& cells, int64_t m, const float* sums, const float* masses, float* mean) {
    float mass = 0;
    std::fill_n(mean, C, 0.f);
    for (int j = 0; j < NINE; ++j) {
        if (!cells.exists[m * NINE + j]) continue;
        const int64_t from = cells.neighbours[m * NINE + j] * NINE + 8 - j;
        for (int c = 0; c < C; ++c) mean[c] += sums[from * C + c];
        mass += masses[from];
    }
    for (int c = 0; c < C; ++c) mean[c] /= mass + EPSILON;
    return mass;
}

}  // namespace

extern "C" {

// tokens (B, N, C), start (B, M, C) -> weights and scores (B, M, 9, P) after some iterations; outside of a cell and
// where there is no neighbour, weights are 0 and scores -inf.
void associate(
    const float* tokens, int64_t B, int64_t N, const float* start, const int64_t* pixels, const bool* inside,
    const int64_t* neighbours, const bool* exists, int64_t M, int64_t P, int64_t iterations, float* weights,
    float* scores, int threads) {
    const Cells cells{pixels, inside, neighbours, exists, M, P};
    const int64_t columns = cells.columns();
    std::vector<float> centroids(B * M * C), sums(B * M * NINE * C), masses(B * M * NINE);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> rows(columns * C), transposed(C * columns), of_cell(NINE * columns), odds(NINE * columns);
        for (int64_t iteration = 0; iteration < iterations; ++iteration) {
            const bool last = iteration == iterations - 1;
#pragma omp for schedule(static)
            for (int64_t cell = 0; cell < B * M; ++cell) {
                const int64_t b = cell / M, m = cell % M;
                const float *image = tokens + b * N * C, *centres = (iteration ? centroids.data() : start) + b * M * C;
                // Relative to where the cell starts: |s|² - 2 x·s loses precision for large features.
                const float* origin = start + cell * C;
                for (int64_t p = 0; p < P; ++p)
                    for (int c = 0; c < C; ++c)
                        transposed[c * columns + p] = rows[p * C + c] = image[pixels[m * P + p] * C + c] - origin[c];
                alignas(32) float around[NINE * C], bias[NINE];
                for (int j = 0; j < NINE; ++j) {
                    const float* centre = centres + neighbours[m * NINE + j] * C;
                    float square = 0;
                    for (int c = 0; c < C; ++c) {
                        const float each = centre[c] - origin[c];
                        around[j * C + c] = 2 * each, square += each * each;
                    }
                    bias[j] = exists[m * NINE + j] ? -square : FAR;
                }
                for (int64_t p = 0; p < columns; p += LANES) {
                    Vector logits[NINE], of[NINE], order[NINE];
#pragma GCC unroll 9
                    for (int j = 0; j < NINE; ++j) logits[j] = all(bias[j]);
                    for (int c = 0; c < C; ++c) {
                        const Vector each = load(&transposed[c * columns + p]);
#pragma GCC unroll 9
                        for (int j = 0; j < NINE; ++j) logits[j] += all(around[j * C + c]) * each;
                    }
                    soften(logits, of, last ? order : nullptr);
                    for (int j = 0; j < NINE; ++j) {
                        store(&of_cell[j * columns + p], exists[m * NINE + j] ? of[j] : Vector{});
                        if (last) store(&odds[j * columns + p], exists[m * NINE + j] ? order[j] : all(-INF));
                    }
                }
                const bool alone = std::count(exists + m * NINE, exists + (m + 1) * NINE, true) == 1;
                for (int64_t p = 0; (inside || alone) && p < P; ++p)
                    for (int j = 0; j < NINE; ++j) {
                        const bool here = !inside || inside[m * P + p];
                        if (!here) of_cell[j * columns + p] = 0, odds[j * columns + p] = -INF;
                        if (here && alone && exists[m * NINE + j]) odds[j * columns + p] = INF;
                    }
                if (last) {
                    for (int j = 0; j < NINE; ++j) {
                        const int64_t to = (cell * NINE + j) * P;
                        std::copy_n(&of_cell[j * columns], P, weights + to);
                        std::copy_n(&odds[j * columns], P, scores + to);
                    }
                } else {
                    float *mine = &sums[cell * NINE * C], *mass = &masses[cell * NINE];
                    add_up(of_cell.data(), columns, rows.data(), P, mine, mass);
                    for (int j = 0; j < NINE; ++j)
                        for (int c = 0; c < C; ++c) mine[j * C + c] += mass[j] * origin[c];
                }
            }
            if (last) continue;
#pragma omp for schedule(static)
            for (int64_t cell = 0; cell < B * M; ++cell) {
                const int64_t first = cell / M * M * NINE;
                gather(cells, cell % M, &sums[first * C], &masses[first], &centroids[cell * C]);
            }
        }
    }
}

// Mean of the pixels of every superpixel (Eq. 4): weights (B, M, 9, P), tokens (B, N, C) -> mean (B, M, C), mass (B,
// M).
void superpixel_mean(
    const float* tokens, int64_t B, int64_t N, const float* weights, const int64_t* pixels, const bool* inside,
    const int64_t* neighbours, const bool* exists, int64_t M, int64_t P, float* mean, float* mass, int threads) {
    const Cells cells{pixels, inside, neighbours, exists, M, P};
    std::vector<float> sums(B * M * NINE * C), masses(B * M * NINE);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> rows(P * C);
#pragma omp for schedule(static)
        for (int64_t cell = 0; cell < B * M; ++cell) {
            const float* image = tokens + cell / M * N * C;
            for (int64_t p = 0; p < P; ++p) std::copy_n(image + pixels[cell % M * P + p] * C, C, &rows[p * C]);
            add_up(weights + cell * NINE * P, P, rows.data(), P, &sums[cell * NINE * C], &masses[cell * NINE]);
        }
#pragma omp for schedule(static)
        for (int64_t cell = 0; cell < B * M; ++cell) {
            const int64_t b = cell / M;
            mass[cell] = gather(cells, cell % M, &sums[b * M * NINE * C], &masses[b * M * NINE], mean + cell * C);
        }
    }
}

// Of `superpixel_mean`: d_mean (B, M, C), divided by the masses already -> d_tokens (B, N, C).
void superpixel_mean_gradient(
    const float* d_mean, int64_t B, int64_t N, const float* weights, const int64_t* pixels, const bool* inside,
    const int64_t* neighbours, int64_t M, int64_t P, float* d_tokens, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> rows(P * C);
#pragma omp for schedule(static)
        for (int64_t cell = 0; cell < B * M; ++cell) {
            const int64_t b = cell / M, m = cell % M;
            alignas(32) float around[NINE * C];
            for (int j = 0; j < NINE; ++j)
                std::copy_n(d_mean + (b * M + neighbours[m * NINE + j]) * C, C, around + j * C);
            std::fill(rows.begin(), rows.end(), 0.f);
            in_runs<2>(P, [&](int64_t p, auto run) {
                product<decltype(run)::value, C>(
                    weights + cell * NINE * P + p, 1, int(P), around, C, NINE, &rows[p * C], C, &rows[p * C], C);
            });
            for (int64_t p = 0; p < P; ++p)
                if (!inside || inside[m * P + p])
                    std::copy_n(&rows[p * C], C, d_tokens + (b * N + pixels[m * P + p]) * C);
        }
    }
}

// The `count` pixels of highest score of every superpixel, equal scores in favour of the lower index: scores
// (B, M, 9, P) -> top (B, M, count), in rising order.
void top_pixels(
    const float* scores, int64_t B, const int64_t* pixels, const bool* inside, const int64_t* neighbours,
    const bool* exists, int64_t M, int64_t P, int64_t count, int64_t* top, int threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<int64_t> keys;
#pragma omp for schedule(static)
        for (int64_t cell = 0; cell < B * M; ++cell) {
            const int64_t b = cell / M, m = cell % M;
            keys.clear();
            for (int j = 0; j < NINE; ++j) {
                if (!exists[m * NINE + j]) continue;
                const int64_t n = neighbours[m * NINE + j];
                const float* of = scores + ((b * M + n) * NINE + 8 - j) * P;
                for (int64_t p = 0; p < P; ++p) {
                    if (inside && !inside[n * P + p]) continue;
                    const float score = of[p] + 0.f;  // -0 equals 0
                    int32_t bits;
                    std::memcpy(&bits, &score, sizeof bits);
                    const int64_t ordered = bits < 0 ? bits ^ 0x7fffffff : bits;  // in the order of the floats
                    keys.push_back(ordered * (int64_t(1) << 32) + (0xffffffff - pixels[n * P + p]));
                }
            }
            std::nth_element(keys.begin(), keys.begin() + (count - 1), keys.end(), std::greater<int64_t>());
            int64_t* to = top + cell * count;
            for (int64_t i = 0; i < count; ++i) to[i] = 0xffffffff - (keys[i] & 0xffffffff);
            std::sort(to, to + count);
        }
    }
}
}
