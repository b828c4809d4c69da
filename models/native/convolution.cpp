// 3x3 convolutions in channels-last memory, with what follows them in an upsampler, and their gradients.

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace {

constexpr int PIXELS = 32;      // of a tile
constexpr int64_t PART = 2048;  // pixels whose sums are added up by one thread
constexpr int FEW = 3;          // outputs of the last convolution

inline Vector leaky(Vector x, float slope) {
    return larger(Vector{}, x) + all(slope) * smaller(Vector{}, x);  // NaN stays NaN
}

// A run of at most PIXELS pixels of the output, and the three rows of x (B, H, W, inputs) that it comes from, with what
// lies beside them and zeros around the image.
struct Run {
    int64_t b, y, begin, count;
    bool inside[3];  // whether the image has that row

    Run(int64_t number, const float* x, int64_t H, int64_t W, int64_t inputs, int64_t padding, float* lines) {
        const int64_t height = H - 2 + 2 * padding, tiles = (W + PIXELS - 1) / PIXELS;
        b = number / (height * tiles), y = number / tiles % height, begin = number % tiles * PIXELS;
        count = std::min<int64_t>(PIXELS, W - begin);
        const int64_t first = std::max<int64_t>(begin - 1, 0), last = std::min(begin + count + 1, W);
        for (int row = 0; row < 3; ++row) {
            const int64_t source = y + row - padding;
            inside[row] = source >= 0 && source < H;
            if (!inside[row]) continue;
            float* to = lines + row * line(inputs);
            if (first == begin) std::fill_n(to, inputs, 0.f);
            const float* from = x + ((b * H + source) * W + first) * inputs;
            std::copy_n(from, (last - first) * inputs, to + (first - (begin - 1)) * inputs);
            if (last == begin + count) std::fill_n(to + (count + 1) * inputs, inputs, 0.f);
        }
    }
    static int64_t line(int64_t inputs) { return (PIXELS + 2) * inputs; }
    static int64_t all(int64_t B, int64_t height, int64_t W) { return B * height * ((W + PIXELS - 1) / PIXELS); }
};

}  // namespace

extern "C" {

// x (B, H, W, inputs), with one column of zeros on either side, and `padding` rows above and below; weight
// (factor², 3, 3, inputs, C), bias (factor², C) -> leaky ReLU of the convolution, (B, h · factor, W · factor, C) for
// h = H - 2 + 2 · padding: the factor² groups of C channels become a square of pixels, row by row.
void enlarge(
    const float* x, int64_t B, int64_t H, int64_t W, int64_t inputs, const float* weight, const float* bias,
    int64_t padding, int64_t factor, float slope, float* output, int threads) {
    const int64_t height = H - 2 + 2 * padding, squares = factor * factor, line = Run::line(inputs);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> lines(3 * line);
        alignas(64) float tile[PIXELS * C];
#pragma omp for
        for (int64_t number = 0; number < Run::all(B, height, W); ++number) {
            const Run run(number, x, H, W, inputs, padding, lines.data());
            for (int64_t square = 0; square < squares; ++square) {
                for (int64_t i = 0; i < run.count; ++i) std::copy_n(bias + square * C, C, tile + i * C);
                for (int row = 0; row < 3; ++row)
                    if (run.inside[row])
                        in_runs<2>(run.count, [&](int64_t i, auto pixels) {
                            product<decltype(pixels)::value, C>(
                                &lines[row * line + i * inputs], int(inputs), 1,
                                weight + (square * 3 + row) * 3 * inputs * C, C, int(3 * inputs), tile + i * C, C,
                                tile + i * C, C);
                        });
                const int64_t top = (run.b * height + run.y) * factor + square / factor;
                float* to = output + ((top * W + run.begin) * factor + square % factor) * C;
                for (int64_t i = 0; i < run.count; ++i)
                    for (int c = 0; c < C; c += LANES)
                        store(to + i * factor * C + c, leaky(load(tile + i * C + c), slope));
            }
        }
    }
}

// The same x, C inputs; weight (3, FEW, 3, C), rows of the window first, and bias (FEW) -> (B, FEW, h, W). Products are
// added up over channels, eight at a time: there are too few outputs for that.
void convolve_to_few(
    const float* x, int64_t B, int64_t H, int64_t W, const float* weight, const float* bias, int64_t padding,
    float* output, int threads) {
    const int64_t height = H - 2 + 2 * padding;
    constexpr int WIDTH = 3 * C;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> lines(3 * Run::line(C));
#pragma omp for
        for (int64_t number = 0; number < Run::all(B, height, W); ++number) {
            const Run run(number, x, H, W, C, padding, lines.data());
            in_runs<2>(run.count, [&](int64_t i, auto pixels) {
                constexpr int R = decltype(pixels)::value;
                Vector sums[R][FEW] = {};
                for (int row = 0; row < 3; ++row) {
                    if (!run.inside[row]) continue;
                    const float *from = &lines[row * Run::line(C) + i * C], *of = weight + row * FEW * WIDTH;
                    for (int c = 0; c < WIDTH; c += LANES)
#pragma GCC unroll 3
                        for (int o = 0; o < FEW; ++o) {
                            const Vector each = load(of + o * WIDTH + c);
#pragma GCC unroll 2
                            for (int r = 0; r < R; ++r) sums[r][o] += each * load(from + r * C + c);
                        }
                }
                for (int o = 0; o < FEW; ++o)
                    for (int r = 0; r < R; ++r)
                        output[((run.b * FEW + o) * height + run.y) * W + run.begin + i + r] =
                            bias[o] + sum(sums[r][o]);
            });
        }
    }
}

// Of `enlarge`: its output and d_output (B, h · factor, W · factor, C) -> gradient of the convolution itself (B, h, W,
// factor² · C).
void enlarge_gradient(
    const float* output, const float* d_output, int64_t B, int64_t h, int64_t W, int64_t factor, float slope, float* to,
    int threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < B * h * factor; ++row)
        for (int64_t column = 0; column < W * factor; ++column) {
            const int64_t from = (row * W * factor + column) * C, square = row % factor * factor + column % factor;
            float* pixel = to + ((row / factor * W + column / factor) * factor * factor + square) * C;
            for (int c = 0; c < C; c += LANES) {
                const Integers negative = load(output + from + c) < Vector{};
                const Vector d = load(d_output + from + c);
                store(pixel + c, choose(negative, d * all(slope), d));
            }
        }
}

// x (B, H, W, C), gradient of the convolution itself (B, H, W, O), padding of one zero -> d_weight (3, 3, O, C) and
// d_bias (O). The image is cut into parts, whose sums are added up in their order.
void convolution_gradient(
    const float* x, const float* d_output, int64_t B, int64_t H, int64_t W, int64_t O, float* d_weight, float* d_bias,
    int threads) {
    const int64_t rows = std::max<int64_t>(1, PART / W), strips = (H + rows - 1) / rows, count = O * (9 * C + 1);
    std::vector<float> sums(B * strips * count);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t task = 0; task < B * strips; ++task) {
        const int64_t b = task / strips, top = task % strips * rows;
        float *weight = &sums[task * count], *bias = weight + O * 9 * C;
        for (int64_t y = top; y < std::min(H, top + rows); ++y)
            for (int64_t begin = 0; begin < W; begin += PIXELS) {
                const int64_t end = std::min(W, begin + PIXELS);
                for (int64_t i = begin; i < end; ++i)
                    for (int64_t o = 0; o < O; ++o) bias[o] += d_output[((b * H + y) * W + i) * O + o];
                for (int tap = 0; tap < 9; ++tap) {
                    const int64_t source = y + tap / 3 - 1, shift = tap % 3 - 1;
                    if (source < 0 || source >= H) continue;
                    const int64_t first = std::max(begin, -shift), last = std::min(end, W - shift);
                    const float* from = d_output + ((b * H + y) * W + first) * O;
                    const float* pixels = x + ((b * H + source) * W + first + shift) * C;
                    in_runs<2>(O, [&](int64_t o, auto run) {
                        float* to = weight + (tap * O + o) * C;
                        product<decltype(run)::value, C>(
                            from + o, 1, int(O), pixels, C, int(last - first), to, C, to, C);
                    });
                }
            }
    }
    std::fill(d_weight, d_weight + O * 9 * C, 0.f);
    std::fill(d_bias, d_bias + O, 0.f);
    for (int64_t part = 0; part < B * strips; ++part) {
        const float* from = &sums[part * count];
        for (int64_t i = 0; i < O * 9 * C; ++i) d_weight[i] += from[i];
        for (int64_t o = 0; o < O; ++o) d_bias[o] += from[O * 9 * C + o];
    }
}
}
