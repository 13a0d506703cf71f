"""Interval features: how regular the last flows of one series are, and how alike."""

from libc.math cimport NAN, fabs, isnan, log1p, sqrt
from libc.stdint cimport int64_t

from zeekml.features.context._context cimport (
    FAILED_FLAG,
    MISDATED_FLAG,
    MOST_COUNTED,
    MOST_SERIES,
    REGULAR_FROM,
    Record,
    State,
    arrival_of,
    is_set,
    lead_of,
)


cdef inline double at_most_six(double ratio) noexcept nogil:
    """`min(ratio, 6.0)`, which keeps a ratio that is not a number."""
    return 6.0 if 6.0 < ratio else ratio


cdef inline void order(double* values, int n) noexcept nogil:
    """Insertion sort: for values that are in order, or nearly so."""
    cdef int i, j
    cdef double value
    for i in range(1, n):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


cdef inline void sort(const double* values, int n, double* out) noexcept nogil:
    """The values in ascending order, into `out`.

    Each value counts how many go before it. That is more comparing than other ways to sort, but
    without a branch, which for these few values in no order is several times faster.
    """
    cdef int i, j, rank
    cdef double value
    for i in range(n):
        value = values[i]
        rank = 0
        for j in range(i):
            rank += values[j] <= value
        for j in range(i + 1, n):
            rank += values[j] < value
        out[rank] = value


cdef inline double middle_deviation(const double* ranked, int n, double median) noexcept nogil:
    """Median of the distances of `n` ascending values from their median."""
    # the distances, smallest first, lie outwards from the middle on both sides
    cdef int below = (n - 1) // 2, above = (n - 1) // 2 + 1, i
    cdef double last = 0.0, before = 0.0
    for i in range(n // 2 + 1):
        before = last
        if below >= 0 and (above >= n or median - ranked[below] <= ranked[above] - median):
            last = fabs(ranked[below] - median)
            below -= 1
        else:
            last = fabs(ranked[above] - median)
            above += 1
    return last if n % 2 else 0.5 * (before + last)


cdef inline int kinds(const double* values, int n) noexcept nogil:
    """How many distinct values there are."""
    cdef int found = 0, i, j, seen
    cdef double value
    for i in range(n):
        value = values[i]
        seen = 0
        for j in range(i):
            seen += values[j] == value
        found += seen == 0
    return found


cdef inline void write_moments(int n, double total, double squares, float* row) noexcept nogil:
    """Write mean and standard deviation; NaN if there is no value."""
    cdef double mean = total / n, variance
    row[0] = <float>mean
    if n == 0:
        row[1] = NAN
        return
    variance = squares / n - mean * mean
    row[1] = <float>sqrt(0.0 if 0.0 > variance else variance)


cdef inline void write_series(
    const State* c,
    int64_t at,
    bint lookups,
    int64_t alive,
    int longest,
    int64_t begin,
    int64_t now,
    const float* log_counts,
    float* row,
) noexcept nogil:
    """Describe the series of records that ends at `at`: of a client's lookups, or of contacts.

    `begin` is that record's start and `now` its arrival, in microseconds.
    """
    cdef double times[MOST_SERIES]
    cdef double requests[MOST_SERIES]
    cdef double answers[MOST_SERIES]
    cdef int n = longest if longest < alive else <int>alive, i, k, middle
    cdef int failed = 0, asked = 0, answered = 0
    cdef int64_t here = at
    cdef const Record* r
    cdef double time = 0.0, request, answer, total, mean, squares = 0.0, median, jitter
    cdef double ask_sum = 0.0, ask_squares = 0.0, answer_sum = 0.0, answer_squares = 0.0
    # filled from the end: in order of time, which is nearly sorted
    for i in range(n - 1, -1, -1):
        r = &c.ring[here]
        # a wrong time would make two intervals of decades; it counts as that of the record after
        if i < n - 1 and not is_set(r, MISDATED_FLAG):
            time = <double>(arrival_of(r, now) - lead_of(r) - begin) / 1000000.0
        times[i] = time
        failed += is_set(r, FAILED_FLAG)
        request, answer = r.orig_log, r.resp_log
        if not isnan(request):
            requests[asked] = request
            asked += 1
            ask_sum += request
            ask_squares += request * request
        if not isnan(answer):
            answers[answered] = answer
            answered += 1
            answer_sum += answer
            answer_squares += answer * answer
        here = (r.prev_lookup if lookups else r.prev_contact) & c.mask
    row[0] = log_counts[alive if alive < MOST_COUNTED else MOST_COUNTED]
    write_moments(asked, ask_sum, ask_squares, row + 1)
    write_moments(answered, answer_sum, answer_squares, row + 3)
    row[5] = <float>(<double>failed / n)
    row[6] = <float>(<double>kinds(requests, asked) / <double>asked)
    row[7] = <float>(<double>kinds(answers, answered) / <double>answered)
    if n < REGULAR_FROM:
        for k in range(8, 11):
            row[k] = NAN
        return
    order(times, n)
    total = times[n - 1] - times[0]
    mean = total / (n - 1)
    # the buffers are free again: intervals go into `requests`, in ascending order into `answers`
    for i in range(n - 1):
        requests[i] = times[i + 1] - times[i]
        squares += (requests[i] - mean) * (requests[i] - mean)
    sort(requests, n - 1, answers)
    middle = (n - 1) // 2
    median = answers[middle] if n % 2 == 0 else 0.5 * (answers[middle - 1] + answers[middle])
    # a hundredth of a second keeps bursts of equal time stamps from dividing by zero
    jitter = middle_deviation(answers, n - 1, median) / (median + 0.01)
    row[8] = <float>log1p(median)
    row[9] = <float>at_most_six(jitter)
    row[10] = <float>at_most_six(sqrt(squares / (n - 1)) / (mean + 0.01))
