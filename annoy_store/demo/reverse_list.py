# Definition for singly-linked list.
# class ListNode(object):
#     def __init__(self, x):
#         self.val = x
#         self.next = None


class Solution(object):
    def reverseInGroups(self, head, k):
        """
        Reverse the nodes of a linked list in groups of k; a rest shorter than k stays as it is.

        :type head: ListNode
        :type k: int
        :rtype: ListNode
        """
        count, node = 0, head
        while node and count < k:
            node = node.next
            count += 1
        if count < k:
            return head
        previous = self.reverseInGroups(node, k)
        while count:
            following = head.next
            head.next = previous
            previous = head
            head = following
            count -= 1
        return previous
