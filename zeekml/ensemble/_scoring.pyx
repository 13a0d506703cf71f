"""What comes before the members, and what comes of their logits after them, row by row."""

from libc.float cimport FLT_MAX
from libc.math cimport exp, fabs, log, sqrt
from libc.stdint cimport int8_t, int64_t, uint8_t

# stands in for probabilities too small for a float, so that their logarithm exists
cdef double TINY = 1e-300


def scale(
    const float[:, ::1] matrix,
    const int64_t[::1] columns,
    const float[::1] mean,
    const float[::1] width,
    const float[::1] fill,
    float clip,
    float[:, ::1] out,
):
    """Write these columns of the matrix as (x - mean) / width, clipped and filled."""
    cdef Py_ssize_t r, j
    cdef float value, missing
    with nogil:
        for r in range(matrix.shape[0]):
            for j in range(columns.shape[0]):
                out[r, j] = matrix[r, columns[j]]
            # without branches, so that several are done at once
            for j in range(columns.shape[0]):
                value = (out[r, j] - mean[j]) / width[j]
                missing = fill[j]
                value = clip if value > clip else value
                value = -clip if value < -clip else value
                out[r, j] = value if value == value else missing


def take(const float[:, ::1] values, Py_ssize_t member, float[:, :, ::1] logits):
    """Put a member's values (rows, outputs) in its place; whether all of them are finite."""
    cdef Py_ssize_t r, k
    cdef bint finite = True
    with nogil:
        for r in range(values.shape[0]):
            for k in range(values.shape[1]):
                finite &= fabs(values[r, k]) <= FLT_MAX
                logits[r, member, k] = values[r, k]
    return finite


def member_log_odds(
    const float[:, :, ::1] logits, const uint8_t[::1] knows, double[:, ::1] odds
):
    """Write each member's own log-odds of malicious, (rows, members)."""
    cdef Py_ssize_t r, m
    cdef const float* row
    cdef double malicious
    with nogil:
        for r in range(logits.shape[0]):
            for m in range(logits.shape[1]):
                row = &logits[r, m, 0]
                malicious = log_sum_exp(row, 1, logits.shape[2]) if knows[m] else row[1]
                odds[r, m] = malicious - row[0]


def averaged_log_odds(const double[:, ::1] odds, bint probability, double[::1] averaged):
    """Write the average of the members' log-odds, or the log-odds of their average probability."""
    cdef Py_ssize_t r, m, count = odds.shape[1]
    cdef double total, malicious, benign
    with nogil:
        for r in range(odds.shape[0]):
            if not probability:
                total = 0.0
                for m in range(count):
                    total += odds[r, m]
                averaged[r] = total / count
                continue
            # both sides are added up: 1 - p would lose the far tail
            malicious = 0.0
            benign = 0.0
            for m in range(count):
                malicious += sigmoid(odds[r, m])
                benign += sigmoid(-odds[r, m])
            averaged[r] = log(max(malicious, TINY)) - log(max(benign, TINY))


def threat_shares(
    const float[:, :, ::1] logits,
    const uint8_t[::1] knows,
    bint probability,
    double[:, ::1] votes,  # (threats, members that know them): room to work in
    double[:, ::1] shares,
    int8_t[::1] likeliest,
):
    """Write P(threat | malicious), (rows, threats), and the likeliest threat.

    Of members that know threats there must be one at least.
    """
    cdef Py_ssize_t r, m, k, known, best
    cdef Py_ssize_t threats = shares.shape[1], count = votes.shape[1]
    cdef double* averaged
    cdef double whole, highest
    with nogil:
        for r in range(logits.shape[0]):
            averaged = &shares[r, 0]
            for k in range(threats):
                averaged[k] = 0.0
            known = 0
            for m in range(logits.shape[1]):
                if not knows[m]:
                    continue
                if probability:
                    whole = log_sum_exp(&logits[r, m, 0], 0, logits.shape[2])
                    for k in range(threats):
                        votes[k, known] = logits[r, m, k + 1] - whole
                    known += 1
                else:
                    for k in range(threats):
                        averaged[k] += logits[r, m, k + 1]
            best = 0
            for k in range(threats):
                if probability:
                    averaged[k] = log_sum_exp(&votes[k, 0], 0, count)
                else:
                    averaged[k] /= count
                if averaged[k] > averaged[best]:
                    best = k
            # relative to the likeliest: beside a huge common term their differences would be lost
            highest = averaged[best]
            whole = 0.0
            for k in range(threats):
                averaged[k] = exp(averaged[k] - highest)
                whole += averaged[k]
            for k in range(threats):
                averaged[k] /= whole
            likeliest[r] = <int8_t>best


def calibrate(
    double[:, ::1] odds,
    const double[::1] log_odds,
    double slope,
    double intercept,
    double[::1] score,
    float[:, ::1] members,
    double[::1] spread,
):
    """Write the ensemble's score, the members' and their standard deviation.

    The members' log-odds become their scores in place.
    """
    cdef Py_ssize_t r, m, count = odds.shape[1]
    cdef double mean, variance, deviation
    with nogil:
        for r in range(odds.shape[0]):
            score[r] = sigmoid(slope * log_odds[r] + intercept)
            mean = 0.0
            for m in range(count):
                odds[r, m] = sigmoid(slope * odds[r, m] + intercept)
                members[r, m] = <float>odds[r, m]
                mean += odds[r, m]
            mean /= count
            # two passes: the difference of squares would lose small deviations
            variance = 0.0
            for m in range(count):
                deviation = odds[r, m] - mean
                variance += deviation * deviation
            spread[r] = sqrt(variance / count)


ctypedef fused number:
    float
    double


cdef inline double log_sum_exp(
    const number* values, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    cdef double highest = values[start], total = 0.0, value
    cdef Py_ssize_t k
    for k in range(start + 1, stop):
        highest = max(highest, <double>values[k])
    for k in range(start, stop):
        value = values[k]
        total += 1.0 if value == highest else exp(value - highest)  # exp takes its time
    return highest + log(total)


cdef inline double sigmoid(double x) noexcept nogil:
    cdef double odds
    if x >= 0:
        return 1.0 / (1.0 + exp(-x))
    odds = exp(x)
    return odds / (1.0 + odds)
