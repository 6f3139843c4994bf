/*
 * C++ exceptions from callbacks: through the library, to the caller, with every destructor in between. A constructor
 * that throws attaches nothing; a destructor that throws has ended its field.
 */
#include "check.h"

#include <atomic>
#include <memory>
#include <set>
#include <shadow_fields.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

/* Counts the instances, so that a frame that is not unwound, or unwound twice, is found. */
struct Guard {
	static std::atomic<int> alive;
	Guard() { ++alive; }
	Guard(const Guard &) = delete;
	~Guard() { --alive; }
};
std::atomic<int> Guard::alive;

struct Failure : std::runtime_error {
	explicit Failure(const std::string &what) : std::runtime_error(what) {}
	Guard guard_;
	Failure(const Failure &other) : std::runtime_error(other), guard_() {}
};

enum Field { FIRST = 1, SECOND, THIRD, UPDATED, OTHER };

int throw_failure(void *, void *data, void *message)
{
	Guard guard;
	std::vector<int> memory(100);

	*static_cast<int *>(data) = 1;
	throw Failure(static_cast<const char *>(message));
}

int throw_integer(void *, void *, void *)
{
	Guard guard;
	throw 42;
}

/* The message of the Failure that `action` throws. */
template <typename Action> std::string failure_of(Action action)
{
	Guard guard;

	try {
		action();
	} catch (const Failure &failure) {
		return failure.what();
	}
	CHECK(!"it does not throw");
	return "";
}

void a_constructor_that_throws_attaches_nothing()
{
	int object = 0;
	char message[] = "constructor";

	for (int i = 0; i < 3; i++) {
		CHECK(failure_of([&] { shadow_field_alloc(&object, FIRST, 8, throw_failure, message); }) == message);
		CHECK(failure_of([&] { shadow_field_get_or_alloc(&object, FIRST, 8, throw_failure, message); }) == message);
		CHECK(failure_of([&] {
			      shadow_field_get_or_alloc_aligned(&object, FIRST, 8, 256, throw_failure, message);
		      }) == message);
		CHECK(!shadow_field_get(&object, FIRST));
		try {
			shadow_field_alloc_aligned(&object, FIRST, 8, 256, throw_integer, nullptr);
			CHECK(!"it does not throw");
		} catch (int thrown) {
			CHECK_IS(42, thrown);
		}
	}
	CHECK_IS(0, shadow_field_free_object(&object, nullptr));
	int *field = static_cast<int *>(shadow_field_get_or_alloc(&object, FIRST, 8, nullptr, nullptr));
	CHECK(field && *field == 0);
	CHECK(shadow_field_free(&object, FIRST, nullptr));
}

/* Attaches SECOND, and THIRD, whose constructor throws. `catches`: then this constructor goes on. */
int attach_others(void *obj, void *, void *catches)
{
	Guard guard;
	char message[] = "inner";

	if (!shadow_field_get(obj, SECOND))
		CHECK(shadow_field_alloc(obj, SECOND, 8, nullptr, nullptr));
	if (!catches)
		shadow_field_alloc(obj, THIRD, 8, throw_failure, message);
	CHECK(failure_of([&] { shadow_field_get_or_alloc(obj, THIRD, 8, throw_failure, message); }) == message);
	CHECK(shadow_field_get_or_alloc(obj, THIRD, 8, nullptr, nullptr));
	CHECK_FAILS(EDEADLK, shadow_field_get_or_alloc(obj, FIRST, 8, nullptr, nullptr));
	return 0;
}

void exceptions_pass_nested_constructors()
{
	int object = 0;

	CHECK(failure_of([&] { shadow_field_alloc(&object, FIRST, 8, attach_others, nullptr); }) == "inner");
	CHECK(!shadow_field_get(&object, FIRST) && !shadow_field_get(&object, THIRD));
	CHECK(shadow_field_get(&object, SECOND));
	CHECK(shadow_field_alloc(&object, FIRST, 8, attach_others, &object));
	CHECK_IS(3, shadow_field_free_object(&object, nullptr));
}

std::atomic<int> constructed, thrown;

int throw_half_of_the_time(void *, void *data, void *)
{
	Guard guard;
	static std::atomic<int> calls;

	std::this_thread::yield();
	if (calls++ % 2 == 0)
		throw Failure("half");
	*static_cast<int *>(data) = 7;
	++constructed;
	return 0;
}

/* Threads wait for a constructor that throws: one of the threads then runs its own, and no thread hangs. */
void waiting_threads_go_on_after_an_exception(int rounds)
{
	int object = 0;

	for (int round = 0; round < rounds; round++) {
		std::vector<std::thread> threads;
		std::atomic<int> ready(0);

		constructed = 0;
		for (int i = 0; i < 4; i++)
			threads.emplace_back([&] {
				for (ready++; ready < 4;)
					std::this_thread::yield();
				for (void *field = nullptr; !field;) {
					try {
						field = shadow_field_get_or_alloc(&object, FIRST, sizeof(int),
										  throw_half_of_the_time, nullptr);
						CHECK(field && *static_cast<int *>(field) == 7);
					} catch (const Failure &) {
						++thrown;
					}
				}
			});
		for (auto &thread : threads)
			thread.join();
		CHECK_IS(1, constructed);
		CHECK(shadow_field_free(&object, FIRST, nullptr));
	}
	CHECK(thrown >= rounds / 2);
}

int destructors;

/* Throws for the value 1. */
void destroy(void *obj, void *data)
{
	Guard guard;

	++destructors;
	CHECK(!shadow_field_get(obj, FIRST));
	if (*static_cast<int *>(data) == 1)
		throw Failure("destructor");
}

void destroy_each(void *obj, uint64_t, void *data)
{
	destroy(obj, data);
}

void attach(void *obj, uint64_t id, int value)
{
	CHECK(shadow_field_attach(obj, id, &value, sizeof(value)));
}

void a_destructor_that_throws_has_ended_its_field()
{
	int object = 0, value = 1;

	attach(&object, FIRST, 1);
	CHECK(failure_of([&] { shadow_field_free(&object, FIRST, destroy); }) == "destructor");
	CHECK(!shadow_field_get(&object, FIRST));
	CHECK(!shadow_field_free(&object, FIRST, destroy));

	CHECK_IS(0, shadow_field_get_or_update(&object, UPDATED, &value, sizeof(value), nullptr));
	CHECK(failure_of([&] { shadow_field_free(&object, UPDATED, destroy); }) == "destructor");
	CHECK_IS(-1, shadow_field_read(&object, UPDATED, &value, sizeof(value)));
}

std::vector<int> attached(10);

/* The object of the call has lost its field, and the objects of later calls have theirs. */
void count_the_rest(void *obj, void *)
{
	int rest = 0;

	CHECK(!shadow_field_get(obj, FIRST));
	for (int &object : attached)
		rest += shadow_field_get(&object, FIRST) != nullptr;
	CHECK_IS((int)attached.size() - ++destructors, rest);
}

void the_end_of_all_fields_ends_one_after_the_other()
{
	destructors = 0;
	for (int &object : attached)
		attach(&object, FIRST, 2);
	CHECK_IS(attached.size(), shadow_field_free_all(FIRST, count_the_rest));
	CHECK_IS((int)attached.size(), destructors);
}

/* After an exception, all fields are gone, and their bytes are freed, some without a call of their destructor. */
void the_end_of_all_fields_ends_all_in_spite_of_an_exception()
{
	std::vector<int> objects(10);

	destructors = 0;
	for (int &object : objects)
		attach(&object, FIRST, 1);
	CHECK(failure_of([&] { shadow_field_free_all(FIRST, destroy); }) == "destructor");
	CHECK_IS(1, destructors);
	for (int &object : objects)
		CHECK(!shadow_field_get(&object, FIRST));
	CHECK_IS(0, shadow_field_free_all(FIRST, destroy));
}

void the_end_of_an_object_ends_all_fields_in_spite_of_an_exception()
{
	int object = 0, other = 0, value = 1;

	for (int round = 0; round < 2; round++) {
		destructors = 0;
		for (uint64_t id : {FIRST, SECOND, THIRD})
			attach(&object, id, 1);
		CHECK(!shadow_field_get_or_update(&object, UPDATED, &value, sizeof(value), nullptr));
		attach(&other, FIRST, 2);
		CHECK(failure_of([&] { shadow_field_free_object(&object, destroy_each); }) == "destructor");
		CHECK_IS(1, destructors);
		for (uint64_t id : {FIRST, SECOND, THIRD})
			CHECK(!shadow_field_get(&object, id));
		CHECK_IS(-1, shadow_field_read(&object, UPDATED, &value, sizeof(value)));
		CHECK_IS(0, shadow_field_free_object(&object, destroy_each));
		CHECK_IS(1, shadow_field_free_object(&other, destroy_each));
		CHECK_IS(2, destructors);
	}
}

/* A destructor during the unwinding of an exception: the library works as ever. */
struct FreesOnUnwinding {
	int *object;
	~FreesOnUnwinding()
	{
		Guard guard;
		char message[] = "in a destructor";

		CHECK(failure_of([&] { shadow_field_get_or_alloc(object, THIRD, 8, throw_failure, message); }) == message);
		CHECK(shadow_field_get_or_alloc(object, SECOND, 8, nullptr, nullptr));
		CHECK_IS(1, shadow_field_free_object(object, nullptr));
	}
};

int unwind_a_frame_with_calls(void *obj, void *, void *)
{
	FreesOnUnwinding frees{static_cast<int *>(obj)};
	throw Failure("outer");
}

void calls_during_unwinding_work()
{
	int object = 0;

	CHECK(failure_of([&] { shadow_field_alloc(&object, FIRST, 8, unwind_a_frame_with_calls, nullptr); }) == "outer");
	CHECK(!shadow_field_get(&object, FIRST));
}

} // namespace

int main(int argc, char **argv)
{
	a_constructor_that_throws_attaches_nothing();
	exceptions_pass_nested_constructors();
	waiting_threads_go_on_after_an_exception(part(argc, argv, 500));
	a_destructor_that_throws_has_ended_its_field();
	the_end_of_all_fields_ends_one_after_the_other();
	the_end_of_all_fields_ends_all_in_spite_of_an_exception();
	the_end_of_an_object_ends_all_fields_in_spite_of_an_exception();
	calls_during_unwinding_work();
	CHECK_IS(0, Guard::alive);
	return 0;
}
