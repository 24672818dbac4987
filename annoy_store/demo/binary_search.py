# classic exercise: look for a number in a sorted list

def binary_search(arr, target):
    """Return the position of target in a sorted list, or -1 if it is not there."""
    low = 0
    high = len(arr) - 1
    while low <= high:
        middle = (low + high) // 2
        if arr[middle] == target:
            return middle
        elif arr[middle] < target:
            low = middle + 1
        else:
            high = middle - 1
    return -1


numbers = [1, 4, 6, 9, 13, 17, 22, 31]
print("index of 13:", binary_search(numbers, 13))
