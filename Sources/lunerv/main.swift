print("lunerv")
