/*
 * Shadow fields for C and C++: fields that a program adds to objects that already exist.
 *
 * README.md explains the library. cbindgen generates this file from the sources: do not edit.
 *
 * Rules for all functions:
 *
 * - Objects. An object is an address. The library does not dereference the address. NULL is an address like any other.
 * - Numbers. Every 64-bit number is allowed. All code of the process shares the numbers.
 * - Sizes. A field of size 0 has an address, which is not NULL.
 * - Threads. Every thread may call every function, and may free a field that another thread has attached. A field is
 *   there as soon as its constructor has returned 0: an earlier lookup returns NULL, and an earlier free returns false.
 *   A thread that finds the field sees the bytes as the constructor has left them. The program orders later accesses
 *   to the bytes, by a lock or by atomic operations.
 * - Callbacks. A function calls the callbacks of its parameters, and no others, except that shadow_field_alloc,
 *   shadow_field_alloc_aligned and shadow_field_attach call the function for warnings. A callback runs on the calling
 *   thread, during the call. The library keeps no callback, except the function of shadow_field_on_warning. A callback
 *   ends by a return, or, where its type says so, by a C++ exception: not by longjmp, by pthread_exit, or by a
 *   cancellation of the thread.
 * - Cancellation. A cancellation of a thread during a warning to standard error ends the process. A thread that may be
 *   cancelled disables that by pthread_setcancelstate, or the program sets another function for warnings.
 * - errno. A failure sets errno. shadow_field_get and shadow_field_read without a failure keep errno. Another call that
 *   succeeds may change errno. If NULL or -1 may also mean that no field is there, set errno to 0 before the call.
 * - Memory. The comment of a function says what a call does without memory. One case is outside of the library: up to
 *   three times in the life of a thread, at its first attach, update, free or refusal, at its first read, and at its
 *   first free of a replaced value, a call registers a destructor of the thread in the system's C library, as a
 *   thread_local object of C++ does. If the C library has no memory for the destructor, the C library ends the process.
 *   So does a dynamic loader without memory for the thread-locals of a loaded library. These statements are for Linux
 *   with glibc; on other systems, the standard library of Rust may allocate for a thread or for a lock.
 * - Signals and fork. A signal handler calls no function of the library. After a fork, a call in the child may wait
 *   for ever for a lock, a constructor, or a copy by shadow_field_read, of a thread of the parent.
 * - The end of the process runs no destructor.
 */

#ifndef SHADOW_FIELDS_H
#define SHADOW_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Describes a number, with the words of `id` as its name, and the place of this line. */
#define SHADOW_FIELD_DESCRIBE(id, type) shadow_field_describe((id), #id, (type), __FILE__, __LINE__)

/*
 Fills the zeroed bytes of a new field: `obj`, `data` and `ctor_data` are the object, the bytes, and the argument of
 the call that attaches the field. The result 0 attaches the field. Another result refuses the field: nothing is
 attached, and the call fails with the absolute value in errno, as ENOMEM for the kernel's -ENOMEM.

 The library allocates all memory before the constructor runs. So the result 0 always attaches the field.

 Runs under no lock of the library, and may call every function of this header. Of threads that attach the same field
 of the same object, one runs its constructor, and the others wait. If the constructor fails, a waiting thread runs
 its own. A thread must not attach a field while the thread holds a lock that a constructor of the field acquires:
 two such threads may deadlock.

 A constructor may throw a C++ exception: nothing is attached, and the exception leaves the call.
 */
typedef int (*shadow_field_ctor)(void *obj, void *data, void *ctor_data);

/*
 Ends what the bytes of a field refer to. The library frees the bytes after the return. The field is gone already:
 `shadow_field_get` returns NULL for it.

 Runs under no lock, and may call every function of this header. A destructor should not throw. If a destructor
 throws, the exception leaves the function that has called the destructor. The function first frees the bytes of the
 field, and detaches and frees the other fields that the call was to free, without more calls of destructors. A value
 that a thread is copying is freed after the copy.
 */
typedef void (*shadow_field_dtor)(void *obj, void *data);

/*
 As `shadow_field_dtor`, for all fields of an object: `id` tells the field.
 */
typedef void (*shadow_field_each)(void *obj, uint64_t id, void *data);

/*
 Gets a warning of the library, on the thread that causes the warning. `message` is valid only during the call.
 `data` is the pointer of `shadow_field_on_warning`. Runs under no lock, and must not throw.
 */
typedef void (*shadow_field_warning)(const char *message, void *data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Finds a field.

 Returns the address of the field's bytes, or NULL if the object has no such field. Sets errno only if the number
 names a field of `shadow_field_get_or_update`, or a field of Rust code: EPROTOTYPE.

 Takes no lock, does not block, and does not allocate. The call is always safe: another thread may call any function
 for the same field at the same time, also `shadow_field_free`. The use of the bytes is safe until the field is
 freed: the caller makes sure that no thread frees the field before.
 */
void *shadow_field_get(const void *obj,
                       uint64_t id);

/*
 Attaches a field of `size` bytes to an object that does not have the field. The bytes are zeroed, and aligned like
 `max_align_t`. Their address stays the same until the field is freed. `ctor`, unless NULL, gets the bytes and
 `ctor_data`, and fills the bytes.

 Returns the address of the bytes, or NULL and errno: EEXIST if the object has the field, with a warning
 (`shadow_field_on_warning`); ENOMEM; EDEADLK if the call would wait for itself, as a call for a field in the field's
 own constructor, or in a circle of constructors that wait for each other; EPROTOTYPE if the number names another
 sort of field; or what `ctor` has returned. Without memory, nothing is attached; EEXIST and EDEADLK need no memory.

 Allocates; takes a lock for a moment; waits for a running constructor of the same field. Of racing threads, one
 attaches. The object has to outlive the field: free the field before the object. Otherwise the next object at the
 same address inherits the field.
 */
void *shadow_field_alloc(void *obj,
                         uint64_t id,
                         size_t size,
                         shadow_field_ctor ctor,
                         void *ctor_data);

/*
 As `shadow_field_alloc`, with bytes aligned to `align`, a power of two. Returns NULL and EINVAL for another `align`.
 */
void *shadow_field_alloc_aligned(void *obj,
                                 uint64_t id,
                                 size_t size,
                                 size_t align,
                                 shadow_field_ctor ctor,
                                 void *ctor_data);

/*
 Finds a field, or attaches it as `shadow_field_alloc` does.

 Returns the address of the bytes, or NULL and errno: EMSGSIZE if the object has the field with fewer than `size`
 bytes; ENOMEM, EDEADLK, EPROTOTYPE, or what `ctor` has returned, as `shadow_field_alloc`.

 If the field is there, the call allocates nothing, and usually takes no lock. The call takes a lock for a moment if
 the number has fields of several sizes, and may do so if the program has many numbers. If the field is not there,
 the call allocates and waits as `shadow_field_alloc` does. Of racing threads, one runs its constructor, and all get
 its field.

 As with `shadow_field_get`, the caller makes sure that no thread frees the field while the bytes are in use.
 */
void *shadow_field_get_or_alloc(void *obj,
                                uint64_t id,
                                size_t size,
                                shadow_field_ctor ctor,
                                void *ctor_data);

/*
 As `shadow_field_get_or_alloc`, with bytes aligned to `align`, a power of two. Returns NULL and EINVAL for another
 `align`. A field that is there keeps the alignment of its attach, which may be less than `align`.
 */
void *shadow_field_get_or_alloc_aligned(void *obj,
                                        uint64_t id,
                                        size_t size,
                                        size_t align,
                                        shadow_field_ctor ctor,
                                        void *ctor_data);

/*
 Attaches a copy of the `size` bytes at `data`, as `shadow_field_alloc`. With `data` NULL, the bytes are zeroed.

 Returns and blocks as `shadow_field_alloc`.
 */
void *shadow_field_attach(void *obj,
                          uint64_t id,
                          const void *data,
                          size_t size);

/*
 Finds a field, or attaches a copy of the `size` bytes at `data`, as `shadow_field_get_or_alloc`. With `data` NULL,
 the bytes are zeroed.

 Returns and blocks as `shadow_field_get_or_alloc`.
 */
void *shadow_field_get_or_attach(void *obj,
                                 uint64_t id,
                                 const void *data,
                                 size_t size);

/*
 Detaches a field, calls `dtor`, unless NULL, and frees the bytes.

 Returns whether the object had the field. Sets no errno: the result for a field of Rust code is false.

 Takes a lock for a moment. May allocate a counter of the report, but needs no memory. Of racing threads, one
 detaches the field and calls its `dtor`. The caller makes sure that no thread uses the bytes any more. A lookup of
 the field at the same time is safe.

 For a field of `shadow_field_get_or_update`, `dtor` gets the newest value, at any address. The call waits for
 threads that are copying this value by `shadow_field_read`.
 */
bool shadow_field_free(void *obj,
                       uint64_t id,
                       shadow_field_dtor dtor);

/*
 Detaches and frees this field of every object, with a call of `dtor`, unless NULL, for each.

 Returns the number of fields. Sets no errno: the result for fields of Rust code is 0.

 May allocate a counter of the report, but needs no memory; takes locks for a moment each.
 Detaches one field after the other: during a call of `dtor`, later objects still have their fields. The call may
 miss an object that gets the field during the call. The caller makes sure that no thread uses the bytes of any of
 these fields.

 For fields of `shadow_field_get_or_update`, the call waits for threads that are copying the values by
 `shadow_field_read`.
 */
size_t shadow_field_free_all(uint64_t id,
                             shadow_field_dtor dtor);

/*
 Detaches and frees every field of an object that is about to go, with a call of `dtor`, unless NULL, for each.
 Fields of Rust code stay.

 Returns the number of fields. Sets no errno.

 May allocate a counter of the report, but needs no memory; takes locks for a moment each.
 The call may miss a field that a thread attaches during the call. All fields are detached before the first call of
 `dtor`. The caller makes sure that no thread uses the bytes any more.

 For fields of `shadow_field_get_or_update`, the call waits for threads that are copying the values by
 `shadow_field_read`.
 */
size_t shadow_field_free_object(void *obj,
                                shadow_field_each dtor);

/*
 Sets the function that gets warnings, with its data, in place of standard error. NULL: no warnings.

 The library warns of a second attach by `shadow_field_alloc`, `shadow_field_alloc_aligned` or `shadow_field_attach`.
 After the return, another thread may still be in a call of the former function. Takes a lock for a moment.
 */
void shadow_field_on_warning(shadow_field_warning warning,
                             void *data);

/*
 Says what the report and the warnings call a number: a name, the type of its bytes, and the place of its
 declaration. `SHADOW_FIELD_DESCRIBE(id, type)` passes the words of `id`, and the place of its own line. Each string
 may be NULL, for an unknown one. Without a description, the report shows a type and a place inside of the library.

 Returns 0, or -1 and errno ENOMEM. Without memory, the number keeps its previous description.

 Keeps one copy of each different string for ever, so the caller may free its strings. The last description of a
 number wins, before or after the number's first field. Allocates for the strings, also for strings that the library
 keeps already, and for the description; takes a lock for a moment. The time grows with the number of kept strings.
 */
int shadow_field_describe(uint64_t id,
                          const char *name,
                          const char *type_name,
                          const char *file,
                          unsigned int line);

/*
 Returns the report of all fields of the process as a string: a table with an entry for each number that ever had a
 field. The caller does not write to the string, and frees the string by `shadow_field_string_free`.

 Returns NULL and errno ENOMEM without memory. Allocates; takes a lock for a moment.
 */
char *shadow_field_report(void);

/*
 Frees a string of `shadow_field_report`. NULL is allowed.
 */
void shadow_field_string_free(char *string);

/*
 Attaches a copy of the `size` bytes at `data`, or replaces the value of the field by the copy. Unless `old` is NULL,
 copies the previous value to `old`: at most `size` bytes. The bytes of `old` behind a shorter value keep their
 content. With `data` NULL, the bytes of the new value are zeroed. Values of one field may differ in size.

 Returns 1 if the field had a value, 0 if not, or -1 and errno: ENOMEM; EPROTOTYPE if the number names another sort
 of field. After a failure, the field has the value that it had before.

 Allocates; takes a lock for a moment; does not wait for readers. Any thread may read, replace or free the field at
 the same time. `shadow_field_read` reads the value; `shadow_field_get` does not, since an update frees the memory of
 the previous value.
 */
int shadow_field_get_or_update(void *obj,
                               uint64_t id,
                               const void *data,
                               size_t size,
                               void *old);

/*
 Copies the newest value of a field of `shadow_field_get_or_update` to `to`: at most `size` bytes. `to` may be NULL
 if `size` is 0.

 Returns the size of the whole value, which may be more than `size`, or -1. After -1, errno is unchanged if the
 object has no such field, EPROTOTYPE if the number names another sort of field, and ENOMEM if there is no memory for
 the first read of the thread.

 Takes no lock, does not wait for writers, and allocates at most on the first read of a thread, or in a destructor of
 a `thread_local` object. Any thread may replace or free the field at the same time.
 */
ptrdiff_t shadow_field_read(const void *obj,
                            uint64_t id,
                            void *to,
                            size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SHADOW_FIELDS_H */
