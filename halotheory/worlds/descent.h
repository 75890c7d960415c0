// Gradient descent of tabular softmax policies, eight worlds at a time, by the exact gradient of a population.
//
// Included after lanes.h and a generated part, which defines
//   OUTPUTS, CELLS (pairs i < j, or outputs), PAIRED, SETTINGS (how many), REFERENCE_POINT (as below), and
//   slopes(...): adds the loss's weighted derivatives by the log-probabilities of a cell, in both orders or labels.
// Arrays hold the eight worlds of a block last: logits, reference and lengths [block][prompt][output], weights
// [block][prompt][cell][2], prompt_shares [block][prompt], output_shares [block][output], settings [block][name], learning_rates [block].
#include <cstdlib>

enum { NUMBER, KL, SHARED_KL, MISMATCHED };

INLINE void log_probabilities(const Vector* logits, Vector* logps, Vector* policy) {
    Vector high = logits[0], total{};
    for (int y = 1; y < OUTPUTS; y++) high = logits[y] > high ? logits[y] : high;
    for (int y = 0; y < OUTPUTS; y++) {
        policy[y] = falling_exp(logits[y] - high);
        total += policy[y];
    }
    const Vector normalizer = high + bounded_log(total), inverse = 1.0 / total;
    for (int y = 0; y < OUTPUTS; y++) {
        logps[y] = logits[y] - normalizer;
        policy[y] *= inverse;
    }
}

extern "C" void descend(double* logits_of, const double* reference_of, const double* lengths_of,
                        const double* weights_of, const double* prompt_shares_of, const double* output_shares_of,
                        const double* settings_of, double number, const double* learning_rates, long num_prompts, long first,
                        long last, long steps) {
    const long size = num_prompts * OUTPUTS;
    Vector* memory = static_cast<Vector*>(std::aligned_alloc(64, (5 * size + num_prompts) * sizeof(Vector)));
    Vector *logits = memory, *logps = memory + size, *policy = memory + 2 * size, *reference = memory + 3 * size;
    Vector *lengths = memory + 4 * size, *kl = memory + 5 * size;
    for (long block = first; block < last; block++) {
        double* own = logits_of + block * size * LANES;
        const double* shares = prompt_shares_of + block * num_prompts * LANES;
        const double* output_shares = output_shares_of + block * OUTPUTS * LANES;
        const Vector learning_rate = load(learning_rates + block * LANES);
        Vector settings[SETTINGS + 1];
        for (int k = 0; k < SETTINGS; k++) settings[k] = load(settings_of + (block * SETTINGS + k) * LANES);
        for (long i = 0; i < size; i++) {
            logits[i] = load(own + i * LANES);
            reference[i] = load(reference_of + (block * size + i) * LANES);
            lengths[i] = load(lengths_of + (block * size + i) * LANES);
        }
        for (long x = 0; x < num_prompts; x++)  // as of the policy, so that both are equal to the last bit at the start
            log_probabilities(reference + x * OUTPUTS, logps + x * OUTPUTS, policy + x * OUTPUTS);
        for (long i = 0; i < size; i++) reference[i] = logps[i];
        for (long step = 0; step < steps; step++) {
            Vector shared{};
            for (long x = 0; x < num_prompts; x++) {
                const long at = x * OUTPUTS;
                log_probabilities(logits + at, logps + at, policy + at);
                Vector z{};
                if (REFERENCE_POINT == KL || REFERENCE_POINT == SHARED_KL)
                    for (int y = 0; y < OUTPUTS; y++) z += policy[at + y] * (logps[at + y] - reference[at + y]);
                if (REFERENCE_POINT == MISMATCHED)
                    for (int y = 0; y < OUTPUTS; y++)
                        z += load(output_shares + y * LANES) * (logps[at + y] - reference[at + y]);
                kl[x] = z;
                if (REFERENCE_POINT == SHARED_KL || REFERENCE_POINT == MISMATCHED) shared += load(shares + x * LANES) * z;
            }
            if (REFERENCE_POINT == NUMBER) shared = all(number);
            if (REFERENCE_POINT == MISMATCHED) shared = largest(shared, all(0));
            for (long x = 0; x < num_prompts; x++) {
                const long at = x * OUTPUTS;
                const Vector z0 = REFERENCE_POINT == KL ? kl[x] : shared;
                const double* weights = weights_of + (block * num_prompts + x) * CELLS * 2 * LANES;
                const Vector *p = logps + at, *r = reference + at, *n = lengths + at;
                Vector slope[OUTPUTS] = {}, total{};
#if PAIRED
                for (int i = 0; i < OUTPUTS; i++)
                    for (int j = i + 1; j < OUTPUTS; j++, weights += 2 * LANES)
                        slopes(p[i], p[j], r[i], r[j], n[i], n[j], load(weights), load(weights + LANES), settings,
                               slope[i], slope[j]);
#else
                for (int y = 0; y < OUTPUTS; y++, weights += 2 * LANES)
                    slopes(p[y], r[y], n[y], z0, load(weights), load(weights + LANES), settings, slope[y]);
#endif
                for (int y = 0; y < OUTPUTS; y++) total += slope[y];
                for (int y = 0; y < OUTPUTS; y++)
                    logits[at + y] -= learning_rate * (slope[y] - policy[at + y] * total);
            }
        }
        for (long i = 0; i < size; i++) store(own + i * LANES, logits[i]);
    }
    std::free(memory);
}
