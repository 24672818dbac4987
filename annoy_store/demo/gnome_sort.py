def gnome_sort(arr):
    """Sort a list in place, the way a garden gnome sorts his pots."""
    i = 0
    while i < len(arr):
        if i == 0 or arr[i - 1] <= arr[i]:
            i += 1
        else:
            arr[i], arr[i - 1] = arr[i - 1], arr[i]
            i -= 1


pots = [7, 2, 9, 4, 4, 1]
gnome_sort(pots)
print(pots)
