class Solution:
    # Given a list of intervals, merge all of them that overlap or touch.
    def merge(self, intervals):
        """
        Merge all intervals that overlap or touch and return them in order.

        :type intervals: List[List[int]]
        :rtype: List[List[int]]
        """
        intervals.sort(key=lambda x: x[0])
        merged = []
        for interval in intervals:
            if not merged or merged[-1][1] < interval[0]:
                merged.append(interval)
            else:
                merged[-1][1] = max(merged[-1][1], interval[1])
        return merged
