/* The physical limit of an ensemble: tamed Euler on a double well, in one loop.
 *
 * Sixteen generators side by side (xoshiro256++ and xoshiro128++ of Blackman and Vigna,
 * "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021), normals by
 * Box and Muller's way with the vector functions of libmvec, paths in blocks that stay
 * in the nearest cache. Build: gcc -O3 -march=native -ffast-math -shared -fPIC.
 */
#include <math.h>
#include <stdint.h>

#define LANES 16
#define BLOCK 512

static uint64_t seed_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Words of WIDTH bits, LANES generators in turn. */
#define GENERATOR(NAME, WORD, WIDTH, A, B, C)                                     \
    static inline WORD NAME##_turn(WORD x, int k) {                               \
        return (x << k) | (x >> (WIDTH - k));                                     \
    }                                                                             \
    static void NAME(WORD (*s)[LANES], WORD *out) {                               \
        for (int i = 0; i < BLOCK; i += LANES)                                    \
            for (int j = 0; j < LANES; j++) {                                     \
                WORD a = s[0][j], b = s[1][j], c = s[2][j], d = s[3][j];          \
                out[i + j] = NAME##_turn(a + d, A) + a;                           \
                WORD t = b << B;                                                  \
                c ^= a; d ^= b; b ^= c; a ^= d; c ^= t; d = NAME##_turn(d, C);    \
                s[0][j] = a; s[1][j] = b; s[2][j] = c; s[3][j] = d;               \
            }                                                                     \
    }

GENERATOR(words64, uint64_t, 64, 23, 17, 45)
GENERATOR(words32, uint32_t, 32, 7, 9, 11)

static inline double stepped(double x, double h, double xi) {
    double b = x - x * x * x;
    return x + h * b / (1 + h * fabs(b)) + xi;
}

/* `steps` steps (even) of size h from x, in place; the noise of a step is scale xi. */
#define RUN(NAME, REAL, WORD, WORDS, SQRT, LOG, COS, SIN, FRACTION)               \
    void NAME(double *x, long paths, long steps, double h, double scale,          \
              uint64_t seed) {                                                    \
        WORD s[4][LANES], u[BLOCK], v[BLOCK];                                     \
        REAL r[BLOCK], angle[BLOCK], c[BLOCK], d[BLOCK];                          \
        for (int i = 0; i < 4; i++)                                               \
            for (int j = 0; j < LANES; j++) s[i][j] = (WORD)seed_next(&seed);     \
        for (long first = 0; first < paths; first += BLOCK) {                     \
            long n = paths - first < BLOCK ? paths - first : BLOCK;               \
            double *y = x + first;                                                \
            for (long k = 0; k < steps; k += 2) {                                 \
                WORDS(s, u);                                                      \
                WORDS(s, v);                                                      \
                for (int i = 0; i < BLOCK; i++) {                                 \
                    r[i] = 1 - FRACTION(u[i]);                                    \
                    angle[i] = (REAL)6.283185307179586 * (FRACTION(v[i]) - (REAL)0.5); \
                }                                                                 \
                for (int i = 0; i < BLOCK; i++)                                   \
                    r[i] = (REAL)scale * SQRT(-2 * LOG(r[i]));                    \
                for (int i = 0; i < BLOCK; i++) c[i] = COS(angle[i]);             \
                for (int i = 0; i < BLOCK; i++) d[i] = SIN(angle[i]);             \
                for (long i = 0; i < n; i++) {                                    \
                    double z = stepped(y[i], h, r[i] * c[i]);                     \
                    y[i] = stepped(z, h, r[i] * d[i]);                            \
                }                                                                 \
            }                                                                     \
        }                                                                         \
    }

static inline double fraction64(uint64_t w) {
    union { uint64_t word; double real; } cell = {(w >> 12) | 0x3ff0000000000000ull};
    return cell.real - 1;
}

static inline float fraction32(uint32_t w) {
    union { uint32_t word; float real; } cell = {(w >> 9) | 0x3f800000u};
    return cell.real - 1;
}

RUN(run_float64, double, uint64_t, words64, sqrt, log, cos, sin, fraction64)
RUN(run_float32, float, uint32_t, words32, sqrtf, logf, cosf, sinf, fraction32)
