/*
 * The names of the Linux kernel's shadow variables, on top of shadow_fields.h, for code that was written for
 * <linux/livepatch.h> (Documentation/livepatch/shadow-vars.rst).
 *
 * klp_shadow_get to klp_shadow_free_all are the functions of today's kernels. klp_shadow_attach to
 * klp_shadow_detach_all are names of the patch series of 2017. A call of a klp_ function and a call of the
 * corresponding shadow_field_ function reach the same field.
 *
 * The functions ignore the flags of the kernel's allocator. This header does not define GFP_KERNEL: the program defines
 * it, as any number. On an error, a function returns NULL as in the kernel, and also sets errno.
 *
 * The differences from the kernel: klp_shadow_get_or_alloc fails (EMSGSIZE) if the field is smaller than asked for.
 * klp_shadow_get_or_update returns 1, 0 or -1, as shadow_field_get_or_update does; shadow_field_read reads the value.
 */
#ifndef KLP_SHADOW_H
#define KLP_SHADOW_H

#include "shadow_fields.h"

typedef shadow_field_ctor klp_shadow_ctor_t;
typedef shadow_field_dtor klp_shadow_dtor_t;

static inline void *klp_shadow_get(void *obj, unsigned long id)
{
	return shadow_field_get(obj, id);
}

static inline void *klp_shadow_alloc(void *obj, unsigned long id, size_t size, unsigned int gfp_flags,
				     klp_shadow_ctor_t ctor, void *ctor_data)
{
	(void)gfp_flags;
	return shadow_field_alloc(obj, id, size, ctor, ctor_data);
}

static inline void *klp_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, unsigned int gfp_flags,
					    klp_shadow_ctor_t ctor, void *ctor_data)
{
	(void)gfp_flags;
	return shadow_field_get_or_alloc(obj, id, size, ctor, ctor_data);
}

static inline void klp_shadow_free(void *obj, unsigned long id, klp_shadow_dtor_t dtor)
{
	(void)shadow_field_free(obj, id, dtor);
}

static inline void klp_shadow_free_all(unsigned long id, klp_shadow_dtor_t dtor)
{
	(void)shadow_field_free_all(id, dtor);
}

static inline void *klp_shadow_attach(void *obj, unsigned long id, void *data, size_t size, unsigned int gfp_flags)
{
	(void)gfp_flags;
	return shadow_field_attach(obj, id, data, size);
}

static inline void *klp_shadow_get_or_attach(void *obj, unsigned long id, void *data, size_t size,
					     unsigned int gfp_flags)
{
	(void)gfp_flags;
	return shadow_field_get_or_attach(obj, id, data, size);
}

static inline int klp_shadow_get_or_update(void *obj, unsigned long id, void *data, size_t size,
					   unsigned int gfp_flags)
{
	(void)gfp_flags;
	return shadow_field_get_or_update(obj, id, data, size, NULL);
}

static inline void klp_shadow_detach(void *obj, unsigned long id)
{
	(void)shadow_field_free(obj, id, NULL);
}

static inline void klp_shadow_detach_all(unsigned long id)
{
	(void)shadow_field_free_all(id, NULL);
}

#endif /* KLP_SHADOW_H */
