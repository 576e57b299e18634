/** The colours of pictures, as properties of CSS. */
export const palette = {
  light:
    "--paper:#fff;--ink:#1f2328;--quiet:#59636e;--grid:#d1d9e0;--outage:#f6d5d0;--good:#0a7d5a;--sent:#b8470b;--open:#8250df",
  dark:
    "--paper:#0d1117;--ink:#f0f6fc;--quiet:#9198a1;--grid:#30363d;--outage:#4a2320;--good:#3fb98f;--sent:#f0883e;--open:#b392f0"
} as const
