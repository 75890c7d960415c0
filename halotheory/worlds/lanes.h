// Eight worlds side by side: the arithmetic of one vector of doubles, for GCC and Clang on any processor.
#include <cmath>
#include <cstdint>
#include <cstring>

constexpr int LANES = 8;
typedef double Vector __attribute__((vector_size(8 * LANES)));
typedef std::int64_t Mask __attribute__((vector_size(8 * LANES)));
#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const double* from) {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
INLINE void store(double* to, Vector v) { std::memcpy(to, &v, sizeof v); }
INLINE Vector all(double c) { return Vector{} + c; }
INLINE Vector choose(Mask m, Vector a, Vector b) { return m ? a : b; }
INLINE Vector absolute(Vector x) { return (Vector)((Mask)x & INT64_C(0x7fffffffffffffff)); }
INLINE Vector largest(Vector a, Vector b) { return ((a < b) | (b != b)) ? b : a; }
INLINE Vector smallest(Vector a, Vector b) { return ((a > b) | (b != b)) ? b : a; }
INLINE Vector sign(Vector x) { return choose(x > 0.0, all(1), choose(x < 0.0, all(-1), x)); }
INLINE Vector number(Mask m) { return choose(m, all(1), all(0)); }

// exp(x) for -708 <= x <= 709: x = n log 2 + r with |r| <= log(2) / 2, and exp(r) by the polynomial that is equal to it
// at the twelve Chebyshev nodes, off by less than 2e-17.
INLINE Vector bounded_exp(Vector x) {
    Vector shifted = x * 1.4426950408889634 + 6755399441055744.0;  // 1.5 * 2^52: n stands in the low bits
    Vector n = shifted - 6755399441055744.0;
    Vector r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10;
    Vector p = all(2.5110049204818658e-08);
    p = p * r + 2.763265472252779e-07;
    p = p * r + 2.755724088722987e-06;
    p = p * r + 2.4801485441561313e-05;
    p = p * r + 0.00019841269890076403;
    p = p * r + 0.0013888888952352863;
    p = p * r + 0.008333333333319589;
    p = p * r + 0.04166666666648795;
    p = p * r + 0.1666666666666668;
    p = p * r + 0.5000000000000019;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return (Vector)((Mask)p + ((Mask)shifted << 52));
}

// exp(x) for x <= 0; not less than exp(-708), 3e-308.
INLINE Vector falling_exp(Vector x) { return bounded_exp(x < -708.0 ? all(-708) : x); }

INLINE Vector exponential(Vector x) { return choose(x <= 709.0, falling_exp(smallest(x, all(709))), x * HUGE_VAL); }

// log(x) for x > 0, subnormal numbers apart: x = 2^e m with m near 1, log m = 2 artanh((m - 1) / (m + 1)).
INLINE Vector bounded_log(Vector x) {
    Mask bits = (Mask)x;
    Mask e = (bits - INT64_C(0x3fe6a09e667f3bcd)) >> 52;
    Vector m = (Vector)(bits - (e << 52));
    Vector s = (m - 1.0) / (m + 1.0), z = s * s, p = all(1.0 / 21);
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return __builtin_convertvector(e, Vector) * 0.6931471805599453 + (2.0 * s + 2.0 * s * z * p);
}

#define LANEWISE(NAME, FUNCTION)                                       \
    INLINE Vector NAME(Vector x) {                                     \
        Vector y;                                                      \
        for (int lane = 0; lane < LANES; lane++) y[lane] = FUNCTION(x[lane]); \
        return y;                                                      \
    }
LANEWISE(logarithm, std::log)
LANEWISE(log1p_of, std::log1p)
LANEWISE(expm1_of, std::expm1)
LANEWISE(tanh_of, std::tanh)
LANEWISE(atan_of, std::atan)
LANEWISE(erf_of, std::erf)
LANEWISE(root, std::sqrt)
INLINE Vector power(Vector x, Vector y) {
    Vector z;
    for (int lane = 0; lane < LANES; lane++) z[lane] = std::pow(x[lane], y[lane]);
    return z;
}
