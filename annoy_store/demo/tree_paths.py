# Definition for a binary tree node.
# class TreeNode(object):
#     def __init__(self, x):
#         self.val = x
#         self.left = None
#         self.right = None


class Solution(object):
    def maxPathSum(self, root):
        """
        Find the greatest sum of values on a way from the root of a binary tree down to a leaf.

        :type root: TreeNode
        :rtype: int
        """
        if root is None:
            return 0
        left = self.maxPathSum(root.left)
        right = self.maxPathSum(root.right)
        return root.val + max(left, right)
