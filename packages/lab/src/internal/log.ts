const ln2High = 6.93147180369123816490e-1
const ln2Low = 1.90821492927058770002e-10

/**
 * The natural logarithm of a number from 2^-1022 to 1. Engines differ in the last bit of `Math.log`, and one bit gives another
 * simulation; this one is made of additions, multiplications and divisions, whose results IEEE 754 fixes. The polynomial is that of
 * FreeBSD's `e_log.c` (Sun Microsystems, 1993; the error is below one unit in the last place).
 */
export const log = (x: number): number => {
  let mantissa = x
  let exponent = 0
  // Powers of two are exact.
  while (mantissa < 2.220446049250313e-16) {
    mantissa *= 4503599627370496
    exponent -= 52
  }
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2
    exponent--
  }
  const f = mantissa - 1
  const s = f / (2 + f)
  const z = s * s
  const w = z * z
  const even = w * (3.999999999940941908e-1 + w * (2.222219843214978396e-1 + w * 1.531383769920937332e-1))
  const odd = z *
    (6.666666666666735130e-1 +
      w * (2.857142874366239149e-1 + w * (1.818357216161805012e-1 + w * 1.479819860511658591e-1)))
  const half = 0.5 * f * f
  return exponent * ln2High - (half - (s * (half + even + odd) + exponent * ln2Low) - f)
}
