import type { Library } from "../Library.ts"
import { ofAxiosRetry } from "./axiosRetry.ts"
import { ofCockatiel } from "./cockatiel.ts"
import { ofEffect } from "./effect.ts"
import { ofKy } from "./ky.ts"
import { ofOpossum } from "./opossum.ts"
import { ours } from "./ours.ts"
import { ofPRetry } from "./pRetry.ts"

/** Ours first. */
export const libraries: ReadonlyArray<Library> = [ours, ofEffect, ofCockatiel, ofOpossum, ofPRetry, ofKy, ofAxiosRetry]
