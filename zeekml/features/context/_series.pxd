"""Interval features: how regular the last flows of one series are, and how alike."""

from libc.math cimport NAN, fabs, isnan, log1p, sqrt
from libc.stdint cimport int64_t

from zeekml.features.context._context cimport (
    FAILED_FLAG, MISDATED_FLAG, MOST_COUNTED, MOST_SERIES, REGULAR_FROM, Record, State,
    arrival_of, is_set, lead_of,
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


cdef extern from *:
    """
    #if defined(__GLIBC__) && defined(__x86_64__) && defined(__OPTIMIZE__) \
        && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
    __attribute__((target_clones("avx2", "default")))
    #endif
    static void zeekml_ranks(const double *values, int n, int padded, int64_t *ranks) {
        for (int i = 0; i < padded; i++) ranks[i] = 0;
        for (int j = 0; j < n; j++) {
            double value = values[j];
            for (int i = 0; i < padded; i++) ranks[i] += value < values[i];
        }
    }
    """
    # how many of `n` values are less than each; `padded` is n or the next multiple of four
    void zeekml_ranks(const double* values, int n, int padded, int64_t* ranks) noexcept nogil


cdef inline void sort(double* values, int n, double* out) noexcept nogil:
    """The values, of which none is NaN, in ascending order; both have room for `MOST_SERIES`.

    Each value counts how many are less. That is more comparing than other ways to sort, but without
    a branch, which for these few values in no order is several times faster.
    """
    cdef int64_t ranks[MOST_SERIES]
    cdef int i, padded = (n + 3) & ~3
    for i in range(n, padded):
        values[i] = 0.0
    zeekml_ranks(values, n, padded, ranks)
    for i in range(n):
        out[i] = NAN
    for i in range(n):
        out[ranks[i]] = values[i]
    # equal values went to one place
    for i in range(1, n):
        if isnan(out[i]):
            out[i] = out[i - 1]


cdef inline double middle_deviation(const double* ranked, int n, double median) noexcept nogil:
    """Median of the distances of `n` ascending values from their median."""
    # the distances, smallest first, lie outwards from the middle on both sides
    cdef int _, below = (n - 1) // 2, above = (n - 1) // 2 + 1
    cdef double last = 0.0, before = 0.0
    for _ in range(n // 2 + 1):
        before = last
        if below >= 0 and (above >= n or median - ranked[below] <= ranked[above] - median):
            last = fabs(ranked[below] - median)
            below -= 1
        else:
            last = fabs(ranked[above] - median)
            above += 1
    return last if n % 2 else 0.5 * (before + last)


cdef inline void write_moments(int n, double total, double squares, float* row) noexcept nogil:
    """Write mean and standard deviation; NaN if there is no value."""
    cdef double mean = total / n, variance
    row[0] = <float>mean
    if n == 0:
        row[1] = NAN
        return
    variance = squares / n - mean * mean
    row[1] = <float>sqrt(0.0 if 0.0 > variance else variance)


cdef inline const Record* previous(const State* c, const Record* r, bint lookups) noexcept nogil:
    return &c.ring[(r.prev_lookup if lookups else r.prev_contact) & c.mask]


cdef inline void look_back(
    State* c, int64_t at, bint lookups, int64_t alive, int longest
) noexcept nogil:
    """Find the sizes of the record at `at` in its series, of which `alive` records are held."""
    cdef Record* newest = &c.ring[at]
    cdef const Record* r = newest
    cdef int i, request = 0, answer = 0, n = longest if longest < alive else <int>alive
    for i in range(1, n):
        r = previous(c, r, lookups)
        if request == 0 and r.orig_log == newest.orig_log:
            request = i
        if answer == 0 and r.resp_log == newest.resp_log:
            answer = i
    if lookups:
        newest.lookup_request, newest.lookup_answer = request, answer
    else:
        newest.contact_request, newest.contact_answer = request, answer


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

    `begin` is that record's start and `now` its arrival, in microseconds. All its records have
    been looked back from.
    """
    cdef double times[MOST_SERIES]
    cdef double gaps[MOST_SERIES]
    cdef double ranked[MOST_SERIES]
    cdef int n = longest if longest < alive else <int>alive, i, k, middle
    cdef int failed = 0, asked = 0, answered = 0, requests = 0, answers = 0
    cdef const Record* r = &c.ring[at]
    cdef int back_request, back_answer
    cdef double time = 0.0, request, answer, total, mean, squares = 0.0, median, jitter
    cdef double ask_sum = 0.0, ask_squares = 0.0, answer_sum = 0.0, answer_squares = 0.0
    # filled from the end: in order of time, which is nearly sorted
    for i in range(n - 1, -1, -1):
        # a wrong time would make two intervals of decades; it counts as that of the record after
        if i < n - 1 and not is_set(r, MISDATED_FLAG):
            time = <double>(arrival_of(r, now) - lead_of(r) - begin) / 1000000.0
        times[i] = time
        failed += is_set(r, FAILED_FLAG)
        request, answer = r.orig_log, r.resp_log
        back_request = r.lookup_request if lookups else r.contact_request
        back_answer = r.lookup_answer if lookups else r.contact_answer
        # a size is counted at the first record that has it
        if not isnan(request):
            requests += back_request == 0 or back_request > i
            asked += 1
            ask_sum += request
            ask_squares += request * request
        if not isnan(answer):
            answers += back_answer == 0 or back_answer > i
            answered += 1
            answer_sum += answer
            answer_squares += answer * answer
        r = previous(c, r, lookups)
    row[0] = log_counts[alive if alive < MOST_COUNTED else MOST_COUNTED]
    write_moments(asked, ask_sum, ask_squares, row + 1)
    write_moments(answered, answer_sum, answer_squares, row + 3)
    row[5] = <float>(<double>failed / n)
    row[6] = <float>(<double>requests / <double>asked)
    row[7] = <float>(<double>answers / <double>answered)
    if n < REGULAR_FROM:
        for k in range(8, 11):
            row[k] = NAN
        return
    order(times, n)
    total = times[n - 1] - times[0]
    mean = total / (n - 1)
    for i in range(n - 1):
        gaps[i] = times[i + 1] - times[i]
        squares += (gaps[i] - mean) * (gaps[i] - mean)
    sort(gaps, n - 1, ranked)
    middle = (n - 1) // 2
    median = ranked[middle] if n % 2 == 0 else 0.5 * (ranked[middle - 1] + ranked[middle])
    # a hundredth of a second keeps bursts of equal time stamps from dividing by zero
    jitter = middle_deviation(ranked, n - 1, median) / (median + 0.01)
    row[8] = <float>log1p(median)
    row[9] = <float>at_most_six(jitter)
    row[10] = <float>at_most_six(sqrt(squares / (n - 1)) / (mean + 0.01))
