// 3x3 convolutions in channels-last memory, with what follows them in an upsampler, and their gradients.

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace {

constexpr int PIXELS = 32;  // of a run
constexpr int LINE = (PIXELS + 2) * C;
constexpr int TILES = PIXELS / 2;
constexpr int SIZE = 4;         // of a tile of the input; that of the output is 2 x 2
constexpr int64_t PART = 2048;  // pixels whose sums are added up by one thread

inline Vector leaky(Vector x, float slope) {
    return larger(Vector{}, x) + all(slope) * smaller(Vector{}, x);  // NaN stays NaN
}

// At most PIXELS pixels in each of ROWS rows of the output, and the ROWS + 2 rows of x (B, H, W, C) that they come
// from, with what lies beside them, and zeros around the image.
template <int ROWS>
struct Run {
    int64_t b, y, begin, count, rows;

    Run(int64_t number, const float* x, int64_t H, int64_t W, int64_t padding, float* lines) {
        const int64_t height = H - 2 + 2 * padding, across = parts(W, PIXELS), down = parts(height, ROWS);
        b = number / (down * across), y = number / across % down * ROWS, begin = number % across * PIXELS;
        count = std::min<int64_t>(PIXELS, W - begin), rows = std::min<int64_t>(ROWS, height - y);
        const int64_t first = std::max<int64_t>(begin - 1, 0), last = std::min(begin + PIXELS + 1, W);
        for (int row = 0; row < ROWS + 2; ++row) {
            const int64_t source = y + row - padding;
            const bool inside = source >= 0 && source < H;
            float* to = lines + row * LINE;
            if (!inside || last - first < PIXELS + 2) std::fill_n(to, LINE, 0.f);
            if (inside)
                std::copy_n(x + ((b * H + source) * W + first) * C, (last - first) * C, to + (first - (begin - 1)) * C);
        }
    }
    static int64_t parts(int64_t whole, int64_t of) { return (whole + of - 1) / of; }
    static int64_t all(int64_t B, int64_t height, int64_t W) { return B * parts(height, ROWS) * parts(W, PIXELS); }
};

// Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016): 16 products give a tile of 2 x 2 outputs, instead of 36.

// Of 3 weights in a row, as 4.
inline void of_weights(const Vector* g, int step, Vector* to, int to_step) {
    const Vector outer = (g[0] + g[2 * step]) * all(0.5f), inner = g[step] * all(0.5f);
    to[0] = g[0], to[to_step] = outer + inner, to[2 * to_step] = outer - inner, to[3 * to_step] = g[2 * step];
}
// Of 4 inputs, in place.
inline void of_inputs(Vector* d, int step) {
    const Vector first = d[0] - d[2 * step], last = d[step] - d[3 * step], sum = d[step] + d[2 * step];
    d[2 * step] -= d[step];
    d[0] = first, d[step] = sum, d[3 * step] = last;
}
// Of 4 products, 2 outputs.
inline void of_products(const Vector* m, int step, Vector* to, int to_step) {
    to[0] = m[0] + m[step] + m[2 * step], to[to_step] = m[step] - m[2 * step] - m[3 * step];
}

// weight (squares, 3, 3, C, C) -> (squares, 16, C, C).
inline void transform_weights(const float* weight, int64_t squares, float* to) {
    for (int64_t square = 0; square < squares; ++square)
        for (int at = 0; at < C * C; at += LANES) {
            Vector g[9], half[3 * SIZE], u[SIZE * SIZE];
            for (int k = 0; k < 9; ++k) g[k] = load(weight + (square * 9 + k) * C * C + at);
            for (int k = 0; k < 3; ++k) of_weights(g + k, 3, half + k, 3);
            for (int k = 0; k < SIZE; ++k) of_weights(half + 3 * k, 1, u + SIZE * k, 1);
            for (int k = 0; k < SIZE * SIZE; ++k) store(to + (square * SIZE * SIZE + k) * C * C + at, u[k]);
        }
}

// The lines of a run -> (16, TILES, C).
inline void transform_inputs(const float* lines, int tiles, float* to) {
    for (int tile = 0; tile < tiles; ++tile)
        for (int c = 0; c < C; c += LANES) {
            Vector d[SIZE * SIZE];
            for (int k = 0; k < SIZE * SIZE; ++k) d[k] = load(lines + k / SIZE * LINE + (2 * tile + k % SIZE) * C + c);
            for (int k = 0; k < SIZE; ++k) of_inputs(d + k, SIZE);
            for (int k = 0; k < SIZE; ++k) of_inputs(d + SIZE * k, 1);
            for (int k = 0; k < SIZE * SIZE; ++k) store(to + (k * TILES + tile) * C + c, d[k]);
        }
}

}  // namespace

extern "C" {

// x (B, H, W, C), with one column of zeros on either side, and `padding` rows above and below; weight
// (factor², 3, 3, C, C), bias (factor², C) -> leaky ReLU of the convolution, (B, h · factor, W · factor, C) for
// h = H - 2 + 2 · padding: the factor² groups of C channels become a square of pixels, row by row.
void convolve(
    const float* x, int64_t B, int64_t H, int64_t W, const float* weight, const float* bias, int64_t padding,
    int64_t factor, float slope, float* output, int threads) {
    constexpr int ALL = SIZE * SIZE, EVERY = SIZE + 1;  // of the products the one that all outputs contain
    const int64_t height = H - 2 + 2 * padding, squares = factor * factor;
    std::vector<float> transformed(squares * ALL * C * C);
    transform_weights(weight, squares, transformed.data());
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> lines(SIZE * LINE), inputs(ALL * TILES * C), products(ALL * TILES * C);
#pragma omp for
        for (int64_t number = 0; number < Run<2>::all(B, height, W); ++number) {
            const Run<2> run(number, x, H, W, padding, lines.data());
            const int tiles = int(run.count + 1) / 2;
            transform_inputs(lines.data(), tiles, inputs.data());
            for (int64_t square = 0; square < squares; ++square) {
                for (int k = 0; k < ALL; ++k)
                    in_runs<2>(tiles, [&](int64_t i, auto some) {
                        product<decltype(some)::value, C>(
                            &inputs[(k * TILES + i) * C], C, 1, &transformed[(square * ALL + k) * C * C], C, C,
                            k == EVERY ? bias + square * C : ZEROS, 0, &products[(k * TILES + i) * C], C);
                    });
                float* to = output +
                            (((run.b * height + run.y) * factor + square / factor) * W + run.begin) * factor * C +
                            square % factor * C;
                for (int tile = 0; tile < tiles; ++tile)
                    for (int c = 0; c < C; c += LANES) {
                        Vector m[ALL], half[2 * SIZE], y[4];
                        for (int k = 0; k < ALL; ++k) m[k] = load(&products[(k * TILES + tile) * C + c]);
                        for (int k = 0; k < SIZE; ++k) of_products(m + k, SIZE, half + k, SIZE);
                        for (int k = 0; k < 2; ++k) of_products(half + SIZE * k, 1, y + 2 * k, 1);
                        for (int row = 0; row < run.rows; ++row)
                            for (int column = 0; column < std::min<int64_t>(2, run.count - 2 * tile); ++column)
                                store(
                                    to + (row * factor * W + 2 * tile + column) * factor * C + c,
                                    leaky(y[2 * row + column], slope));
                    }
            }
        }
    }
}

// The same x; weight (3, FEW, 3, C), rows of the window first, and bias (FEW) -> (B, FEW, h, W). Products are added up
// over channels, eight at a time: there are too few outputs for that.
void convolve_to_few(
    const float* x, int64_t B, int64_t H, int64_t W, const float* weight, const float* bias, int64_t padding,
    float* output, int threads) {
    const int64_t height = H - 2 + 2 * padding;
    constexpr int WIDTH = 3 * C;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> lines(3 * LINE);
#pragma omp for
        for (int64_t number = 0; number < Run<1>::all(B, height, W); ++number) {
            const Run<1> run(number, x, H, W, padding, lines.data());
            in_runs<4>(run.count, [&](int64_t i, auto pixels) {
                constexpr int R = decltype(pixels)::value;
                Vector sums[R][FEW] = {};
                for (int row = 0; row < 3; ++row) {
                    const float *from = &lines[row * LINE + i * C], *of = weight + row * FEW * WIDTH;
                    for (int c = 0; c < WIDTH; c += LANES)
#pragma GCC unroll 3
                        for (int o = 0; o < FEW; ++o) {
                            const Vector each = load(of + o * WIDTH + c);
#pragma GCC unroll 4
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

// Of `convolve`: its output and d_output (B, h · factor, W · factor, C) -> gradient of the convolution itself (B, h, W,
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
